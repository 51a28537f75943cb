"""Shipped models as JSON documents."""

from dataclasses import dataclass

from atml.cli.documents.studies import OutcomeDocument
from atml.evaluation import Metrics, Robustness
from atml.reports.finalize import Final
from atml.reports.int8 import Int8Figures
from atml.reports.ship import Model


@dataclass(frozen=True, kw_only=True)
class ModelDocument:
    """A shipped model."""

    bundle: str  #: Folder of its bundle.
    #: Sizes, in bytes, within which it is the best; empty if it was chosen for the targets only.
    sizes: tuple[int, ...]
    onnx_bytes: int  #: Size of `model.onnx` in bytes.
    parity: float  #: Largest difference of a logit between ONNX Runtime and PyTorch.
    threshold: float  #: Decision threshold: the lowest score that counts as AFIB.
    trial: int  #: Number of the trial that found its configuration.
    architecture: str  #: Name of the architecture.
    fbeta: float  #: Mean F-beta over all folds, those of the search and the new ones.
    standard_error: float | None  #: Standard error of that mean.
    #: Metrics of the new folds' networks on the subjects that each has not seen.
    out_of_fold: Metrics
    #: Metrics on all test segments, with those that it would not answer; null without `--test`.
    test: Metrics | None
    int8: Int8Figures | None  #: Its INT8 version; null if that is not smaller.
    #: Metrics under disturbances, of the new folds' networks on the subjects that each has not seen.
    robustness: Robustness


@dataclass(frozen=True, kw_only=True)
class FinalDocument:
    """The shipped models of a study."""

    models: list[ModelDocument]  #: The models, smallest first.
    recommended: str  #: Folder of the bundle that meets the targets best.
    #: Whether the recommended model reaches `targets.robust_fbeta`; if none that can be shipped does, all
    #: were considered.
    is_robust: bool
    #: Targets that the recommended model misses by its mean F-beta over all folds; null if none is set.
    failed_targets: tuple[str, ...] | None
    test_looks: int  #: How often models of this study have been evaluated on test segments.


@dataclass(frozen=True, kw_only=True)
class RunDocument:
    """The result of `atml run`."""

    #: Result of each search: one, or two with `--phase1` and `--phase2`.
    studies: list[OutcomeDocument]
    final: FinalDocument  #: The shipped models.


def final_document(final: Final) -> FinalDocument:
    """Return the result of finalize as a document."""
    return FinalDocument(
        models=[model_document(model) for model in final.models],
        recommended=str(final.recommended.bundle),
        is_robust=final.is_robust,
        failed_targets=final.failed_targets,
        test_looks=final.test_looks,
    )


def model_document(model: Model) -> ModelDocument:
    """Return a shipped model as a document."""
    chosen = model.choice.candidate
    return ModelDocument(
        bundle=str(model.bundle),
        sizes=model.choice.sizes,
        onnx_bytes=model.onnx_bytes,
        parity=model.parity,
        threshold=model.threshold,
        trial=model.trial,
        architecture=model.architecture,
        fbeta=chosen.fbeta,
        standard_error=chosen.contender.estimate.standard_error,
        out_of_fold=chosen.out_of_fold,
        test=model.test,
        int8=model.int8,
        robustness=model.robustness,
    )
