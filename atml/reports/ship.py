"""Shipping a chosen model: ONNX file, parity, one evaluation on test segments, and the bundle."""

import hashlib
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from atml.ecg import Dataset
from atml.errors import StudyError
from atml.evaluation import Metrics, Robustness, score_curves
from atml.export import OnnxClassifier, check_parity, save_checkpoint, to_onnx
from atml.reports.abstaining import abstaining
from atml.reports.assessment import assess
from atml.reports.bundle import MODEL, BundleFile, to_json, write_bundle
from atml.reports.c_files import c_code
from atml.reports.choose import Choice, sizes_of
from atml.reports.html import report_html
from atml.reports.int8 import MODEL_INT8, Int8Model, int8_version
from atml.reports.looks import count_look, looks
from atml.reports.model_card import model_card
from atml.reports.out_of_fold import out_of_fold_robustness
from atml.reports.retrain import Retrained
from atml.reports.scored import Scored
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
    test: Metrics | None
    int8: Int8Model | None  # None if it is not smaller
    robustness: Robustness  # on training subjects, by the networks of the new folds

    @property
    def trial(self) -> int:
        """Number of the trial that found its configuration."""
        return self.choice.candidate.trial

    @property
    def architecture(self) -> str:
        """Name of the architecture."""
        return self.choice.candidate.proposal.architecture.name


def ship(
    stored: StoredStudy,
    dataset: Dataset,
    test: Dataset | None,
    retrained: Retrained,
    out: Path,
    *,
    recommended: bool,
) -> Model:
    """Evaluate a trained choice on the test segments and write its bundle into `out`/STUDY."""
    phase, choice, fit = stored.phase, retrained.choice, retrained.fit
    chosen, threshold = choice.candidate, retrained.threshold
    network = chosen.proposal.build(dataset.segment_length, seed=phase.seed)
    network.load_state_dict(fit.state_dict)
    metadata = onnx_metadata(chosen.proposal, threshold=threshold)
    onnx = to_onnx(network, segment_length=dataset.segment_length, metadata=metadata)
    some = dataset.select(_spread(len(dataset), PARITY_SEGMENTS)).samples()
    parity = check_parity(network, onnx, some)
    classifier = OnnxClassifier(onnx)
    tested = None
    if test is not None:
        tested = assess(classifier, test, beta=phase.beta)
        count_look(stored, onnx, test, tested.fbeta)
    int8 = int8_version(onnx, some, test, beta=phase.beta)
    if phase.targets.size_of != "onnx" and int8 is not None and not int8.is_close:
        differing = 1 - int8.agreement.decisions_equal
        raise StudyError(
            f"the INT8 version of trial {chosen.trial} decides {differing:.1%} of segments otherwise, so it "
            'is not shipped; use a study with size_of = "onnx"'
        )
    robustness = out_of_fold_robustness(chosen, dataset, beta=phase.beta)
    scored = Scored.of(chosen.fits, dataset)
    coverage, withheld = phase.finalize.coverage, None
    if coverage is not None:
        withheld = abstaining(coverage, retrained, scored, classifier, test, beta=phase.beta)
    least_confidence = withheld.least_confidence if withheld else None
    figures = {
        "onnx_bytes": len(onnx),
        "threshold": threshold,
        "parity": parity,
        "test": tested.to_dict() if tested else None,
        "latency_ms": classifier.latency_ms(),
        "test_looks": len(looks(stored.study)),
        "int8": int8.to_dict() if int8 else None,
        "out_of_fold": chosen.out_of_fold.to_dict(),
        "search_fbeta": chosen.search_fbeta,
        "folds_fbeta": chosen.fbeta,
        "abstention": withheld.to_dict() if withheld else None,
        "score_curves": score_curves(scored.labels, scored.scores).to_dict(),
        "robustness": robustness.to_dict(),
    }

    def write_checkpoint(path: Path) -> None:
        config, length = chosen.proposal.config_dict(), dataset.segment_length
        save_checkpoint(path, fit.state_dict, config=config, segment_length=length, metadata=metadata)

    models = {MODEL: onnx, MODEL_INT8: int8.content} if int8 and int8.is_close else {MODEL: onnx}
    code, figures["c"] = c_code(models, least_confidence)
    facts = {
        **_facts(stored, retrained, dataset, test),
        "recommended": recommended,
        "least_confidence": least_confidence,
    }
    name = bundle_name(phase, choice)
    card = model_card(facts, figures, name=name, segment_length=dataset.segment_length)
    # Without example ECGs, since a bundle is handed on.
    page = report_html(stored=stored, manifest=facts, figures=figures, name=name, scored=scored)
    contents = {
        **models,
        **{name: text.encode() for name, text in code.items()},
        "metrics.json": to_json(figures).encode(),
        "MODEL_CARD.md": card.encode(),
        "report.html": page.encode(),
    }
    files = [
        *(BundleFile(name=name, write=partial(_write, content)) for name, content in contents.items()),
        BundleFile(name=VECTORS, write=make_vectors(models, dataset.segment_length).save),
        BundleFile(name="model.pt", write=write_checkpoint),
    ]
    bundle = write_bundle(out / stored.study.study_name / name, files, facts)
    return Model(
        choice=choice,
        threshold=threshold,
        bundle=bundle,
        onnx_bytes=len(onnx),
        parity=parity,
        test=tested,
        int8=int8,
        robustness=robustness,
    )


def bundle_name(phase: Phase, choice: Choice) -> str:
    """Name a bundle by the smallest size that it fits into, its architecture and its trial."""
    chosen = choice.candidate
    size = min((one for one in sizes_of(phase) if one >= chosen.onnx_bytes), default=None)
    kilobytes = f"{size / 1000:g}" if size else f"{math.ceil(chosen.onnx_bytes / 1000)}"
    return f"{kilobytes}KB-{chosen.proposal.architecture.name}-trial{chosen.trial}"


def _write(content: bytes, path: Path) -> None:
    path.write_bytes(content)


def _spread(length: int, count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
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
        "config": chosen.proposal.config_dict(),
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
    return sorted(hashlib.sha256(name.encode()).hexdigest() for name in set(dataset.subjects.tolist()))
