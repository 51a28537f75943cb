"""Shipping a chosen model: ONNX file, parity, one evaluation on test segments, and the bundle."""

import io
import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from atml.ecg import Dataset
from atml.errors import ModelError
from atml.evaluation import Abstention, Metrics, Robustness, score_curves
from atml.export import OnnxClassifier, check_parity, to_onnx
from atml.reports.abstaining import Withheld, abstaining
from atml.reports.assessment import assess
from atml.reports.bundle import MODEL, folder_for, hashed, to_json, write_bundle
from atml.reports.c_files import c_code
from atml.reports.choose import Candidate, Choice, sizes_of
from atml.reports.html.model_part import model_part
from atml.reports.html.page import contents, render
from atml.reports.html.study_part import study_part
from atml.reports.int8 import MODEL_INT8, Int8Figures, int8_version
from atml.reports.looks import count_look, looks
from atml.reports.model_card import card_of
from atml.reports.retrain import Retrained
from atml.reports.vectors import VECTORS, make_vectors
from atml.service.stored import StoredStudy
from atml.tuning.phases import Phase
from atml.tuning.sizes import onnx_metadata

PARITY_SEGMENTS = 1000


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """A shipped model and its results."""

    choice: Choice
    threshold: float
    bundle: Path
    onnx_bytes: int
    parity: float
    test: Metrics | None  # of all test segments
    answered: Abstention | None  # of those that it answers; None without `finalize.coverage`
    int8: Int8Figures | None  # None if it is not smaller or cannot be made
    robustness: Robustness  # on training subjects, by the networks of the new folds

    @property
    def trial(self) -> int:
        """Number of the trial that found its configuration."""
        return self.choice.candidate.trial

    @property
    def architecture(self) -> str:
        """Name of the architecture."""
        return self.choice.candidate.proposal.architecture.name


@dataclass(frozen=True, kw_only=True, eq=False)
class Exported:
    """A trained choice as ONNX, with what is needed to check and to save it."""

    retrained: Retrained
    onnx: bytes
    classifier: OnnxClassifier
    parity: float  # largest difference of its logits from PyTorch's
    int8: tuple[bytes, Int8Figures] | None  # not tested yet; None if it is not smaller or cannot be made
    no_int8: str | None  # why it cannot be made

    @property
    def candidate(self) -> Candidate:
        """The leader that it is."""
        return self.retrained.choice.candidate

    @property
    def lacks_int8(self) -> bool:
        """Whether the INT8 version cannot be made, or decides too many segments otherwise to be shipped."""
        return self.no_int8 is not None or (self.int8 is not None and not self.int8[1].shipped)


def export(phase: Phase, dataset: Dataset, retrained: Retrained) -> Exported:
    """Export a trained choice, as float32 and as INT8, and compare it with PyTorch.

    Raises:
        ParityError: ONNX Runtime's logits are not PyTorch's.
    """
    proposal, length = retrained.choice.candidate.proposal, dataset.segment_length
    network = proposal.build(length, seed=phase.seed)
    network.load_state_dict(retrained.fit.state_dict)
    metadata = onnx_metadata(proposal, threshold=retrained.threshold)
    onnx = to_onnx(network, segment_length=length, metadata=metadata)
    some = dataset.select(_spread(len(dataset), PARITY_SEGMENTS)).samples()
    int8, no_int8 = None, None
    try:
        int8 = int8_version(onnx, some)
    except ModelError as error:
        no_int8 = str(error)
    return Exported(
        retrained=retrained,
        onnx=onnx,
        classifier=OnnxClassifier(onnx),
        parity=check_parity(network, onnx, some),
        int8=int8,
        no_int8=no_int8,
    )


def ship(
    stored: StoredStudy,
    dataset: Dataset,
    test: Dataset | None,
    exported: Exported,
    out: Path,
    robustness: Robustness,
    *,
    recommended: bool,
) -> Model:
    """Evaluate an exported choice on the test segments and write its bundle into `out`/STUDY."""
    retrained, length = exported.retrained, dataset.segment_length
    tested, int8 = _tested(stored, exported, test)
    coverage, withheld = stored.phase.finalize.coverage, None
    if coverage is not None:
        withheld = abstaining(coverage, retrained, exported.classifier, test, beta=stored.phase.beta)
    models = {MODEL: exported.onnx}
    if exported.int8 is not None and exported.int8[1].shipped:
        models[MODEL_INT8] = exported.int8[0]
    least_confidence = withheld.least_confidence if withheld else None
    code, c_figures = c_code(models, least_confidence)
    figures = _figures(stored, exported, tested, int8, withheld)
    figures |= {"robustness": robustness.to_dict(), "c": c_figures}
    facts = {
        **_facts(stored, retrained, dataset, test),
        "recommended": recommended,
        "least_confidence": least_confidence,
    }
    folder = folder_for(out / stored.study.study_name / bundle_name(stored.phase, retrained.choice), facts)
    # Without example ECGs, since a bundle is handed on.
    scored = exported.candidate.scored
    part = model_part(facts, figures, name=folder.name, segment_length=length, scored=scored)
    texts = {
        **code,
        "metrics.json": to_json(figures),
        "MODEL_CARD.md": card_of(part),
        "report.html": render(contents(study_part(stored), part)),
    }
    files = {
        **models,
        **{name: text.encode() for name, text in texts.items()},
        VECTORS: make_vectors(models, length),
        "model.pt": _checkpoint(retrained, length),
    }
    return Model(
        choice=retrained.choice,
        threshold=retrained.threshold,
        bundle=write_bundle(folder, files, facts),
        onnx_bytes=len(exported.onnx),
        parity=exported.parity,
        test=tested,
        answered=withheld.test if withheld else None,
        int8=int8,
        robustness=robustness,
    )


def _tested(
    stored: StoredStudy, exported: Exported, test: Dataset | None
) -> tuple[Metrics | None, Int8Figures | None]:
    """Measure a model and its INT8 version, if there is one, on the test segments once."""
    if test is None:
        return None, exported.int8[1] if exported.int8 else None
    beta, int8 = stored.phase.beta, None
    tested = assess(exported.classifier, test, beta=beta)
    count_look(stored, exported.onnx, test, tested)
    if exported.int8 is not None:
        content, figures = exported.int8
        found = assess(OnnxClassifier(content), test, beta=beta)
        count_look(stored, content, test, found)
        int8 = replace(figures, test=found)
    return tested, int8


def _figures(
    stored: StoredStudy,
    exported: Exported,
    tested: Metrics | None,
    int8: Int8Figures | None,
    withheld: Withheld | None,
) -> dict[str, Any]:
    chosen = exported.candidate
    return {
        "onnx_bytes": len(exported.onnx),
        "threshold": exported.retrained.threshold,
        "parity": exported.parity,
        "test": tested.to_dict() if tested else None,
        "latency_ms": exported.classifier.latency_ms(),
        "test_looks": len(looks(stored.study)),
        "int8": int8.to_dict() if int8 else None,
        "out_of_fold": chosen.out_of_fold.to_dict(),
        "search_fbeta": chosen.search_fbeta,
        "folds_fbeta": chosen.fbeta,
        "abstention": withheld.to_dict() if withheld else None,
        "score_curves": score_curves(chosen.scored.dataset.labels, chosen.scored.scores).to_dict(),
    }


def bundle_name(phase: Phase, choice: Choice) -> str:
    """Name a bundle by the smallest size that it fits into, its architecture and its trial."""
    chosen = choice.candidate
    size = min((one for one in sizes_of(phase) if one >= chosen.onnx_bytes), default=None)
    kilobytes = f"{size / 1000:g}" if size else f"{math.ceil(chosen.onnx_bytes / 1000)}"
    return f"{kilobytes}KB-{chosen.proposal.architecture.name}-trial{chosen.trial}"


def _checkpoint(retrained: Retrained, segment_length: int) -> bytes:
    """Return the PyTorch weights and what they belong to, for `torch.load(…, weights_only=True)`."""
    proposal, file = retrained.choice.candidate.proposal, io.BytesIO()
    content = {
        "architecture": proposal.architecture.name,
        "config": proposal.config.model_dump(),
        "segment_length": segment_length,
        "state_dict": retrained.fit.state_dict,
    }
    torch.save(content, file)
    return file.getvalue()


def _spread(length: int, count: int) -> NDArray[np.int64]:
    """Return up to `count` evenly spaced positions within `length`."""
    return np.unique(np.linspace(0, length - 1, min(count, length)).astype(np.int64))


def _facts(stored: StoredStudy, retrained: Retrained, train: Dataset, test: Dataset | None) -> dict[str, Any]:
    choice, chosen = retrained.choice, retrained.choice.candidate
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "study": stored.study.study_name,
        "trial": chosen.trial,
        "sizes": list(choice.sizes),
        "architecture": chosen.proposal.architecture.name,
        "config": chosen.proposal.config.model_dump(),
        "learning_rate": chosen.proposal.learning_rate,
        "threshold": retrained.threshold,
        "positive": list(train.positive),
        "training_data": {"fingerprint": stored.data.fingerprint, "segments": stored.data.segments},
        "test_data": None if test is None else {"fingerprint": test.fingerprint, "segments": len(test)},
        "subjects": {"train": _hashed(train), "test": _hashed(test) if test else []},
        "spec": stored.phase.stored(),
    }


def _hashed(dataset: Dataset) -> list[str]:
    """Return a hash of each subject's name, to show that two sets share no subject without naming them."""
    return sorted(hashed(name) for name in set(dataset.subjects.tolist()))
