"""From a finished study to one model: judge the winners again, retrain, calibrate, test once."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial

from atml.ecg import Dataset, drop_shared_subjects
from atml.errors import StudyError
from atml.evaluation import Metrics, best_threshold, evaluate
from atml.export import OnnxClassifier, OnnxMetadata, check_parity, save_checkpoint, to_onnx
from atml.models import get_architecture
from atml.reports.assessment import assess
from atml.reports.bundle import BundleFile, bundle_name, to_json, write_bundle
from atml.search import records
from atml.search.fit import Fit
from atml.search.phases import Phase
from atml.search.proposal import Proposal
from atml.search.sizes import onnx_metadata
from atml.service.artifacts import local_folder
from atml.service.data import load_training_data
from atml.service.fits import job, run_fits
from atml.service.studies import StoredStudy

PARITY_SEGMENTS = 1000
TEST_LOOKS = "test_looks"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A trial that was judged again on folds the search did not use."""

    trial: int
    proposal: Proposal
    onnx_bytes: int
    search_fbeta: float
    threshold: float
    out_of_fold: Metrics  # at that threshold, which was chosen on the same scores


@dataclass(frozen=True, kw_only=True)
class Final:
    """The shipped model and what is known of it."""

    bundle: Path
    candidates: tuple[Candidate, ...]
    chosen: Candidate
    test: Metrics | None
    onnx_bytes: int
    parity: float
    test_looks: int


Reporter = Callable[[str, int, int], None]


def finalize(
    stored: StoredStudy,
    *,
    test: Dataset | None,
    out: Path,
    artifacts: str | Path,
    workers: int,
    device: str = "auto",
    report: Reporter = lambda stage, done, total: None,
) -> Final:
    """Make the bundle of a study.

    The best trials are trained again on folds that the search has not seen; those scores choose
    the winner and the threshold. The winner is then trained on all subjects, and only that one
    model meets the test segments, once.

    Raises:
        StudyError: no trial has finished, or training and test share a subject.
    """
    dataset = load_training_data(stored.phase.data)
    _refuse_leak(dataset, test)
    folder = local_folder(artifacts) / stored.study.study_name / "fits"

    def run(stage: str, jobs: list[Any]) -> list[Fit]:
        def on_done(done: int, total: int) -> None:
            report(stage, done, total)

        return run_fits(jobs, folder, workers=workers, device=device, on_done=on_done)

    candidates = _judge_again(stored, dataset, run)
    chosen = min(candidates, key=lambda c: _shortfall(stored.phase, c))
    seeds = range(stored.phase.finalize.seeds)
    fits = run("retrain", [job(stored, chosen.proposal, fold=None, seed=seed) for seed in seeds])
    # No validation is left to choose by; the run that fits its training data best converged best.
    best = min(fits, key=lambda fit: fit.train_loss)
    return _ship(stored, dataset, test, candidates, chosen, best, out)


def _judge_again(
    stored: StoredStudy, dataset: Dataset, run: Callable[[str, list[Any]], list[Fit]]
) -> tuple[Candidate, ...]:
    ranking = stored.phase.rank(stored.study.get_trials(deepcopy=False))
    if not ranking:
        raise StudyError(f"study {stored.study.study_name!r} has no completed trial to finalize yet")
    trials = ranking[: stored.phase.finalize.candidates]
    folds = range(stored.phase.finalize.folds)
    proposals = [_proposal(trial) for trial in trials]
    jobs = [job(stored, proposal, fold=fold, seed=0) for proposal in proposals for fold in folds]
    fits = run("judge again", jobs)
    return tuple(
        _candidate(stored.phase, trial, proposal, dataset, fits[i * len(folds) : (i + 1) * len(folds)])
        for i, (trial, proposal) in enumerate(zip(trials, proposals, strict=True))
    )


def _candidate(
    phase: Phase, trial: FrozenTrial, proposal: Proposal, dataset: Dataset, fits: list[Fit]
) -> Candidate:
    rows = np.concatenate([fit.valid_rows for fit in fits])
    scores = np.concatenate([fit.valid_scores for fit in fits])
    labels, subjects, rhythms = dataset.labels[rows], dataset.subjects[rows], dataset.rhythms[rows]
    threshold = best_threshold(labels, scores, subjects, beta=phase.beta)
    metrics = evaluate(labels, scores, subjects, rhythms, threshold=threshold, beta=phase.beta)
    return Candidate(
        trial=trial.number,
        proposal=proposal,
        onnx_bytes=records.onnx_bytes(trial),
        search_fbeta=records.fbeta(trial),
        threshold=threshold,
        out_of_fold=metrics,
    )


def _shortfall(phase: Phase, candidate: Candidate) -> tuple[float, int]:
    """Order candidates by how far they miss the targets, then by size."""
    targets = phase.targets
    short = 0.0
    if targets.onnx_bytes:
        short += max(0.0, candidate.onnx_bytes / targets.onnx_bytes - 1)
    wanted = targets.fbeta or 1.0
    short += max(0.0, (wanted - candidate.out_of_fold.fbeta) / wanted)
    return (short, candidate.onnx_bytes)


def _proposal(trial: FrozenTrial) -> Proposal:
    architecture = get_architecture(records.architecture(trial))
    config = architecture.config_from_dict(trial.user_attrs[records.CONFIG])
    return Proposal(
        architecture=architecture, config=config, learning_rate=records.learning_rate(trial) or 0.0
    )


def _ship(
    stored: StoredStudy,
    dataset: Dataset,
    test: Dataset | None,
    candidates: tuple[Candidate, ...],
    chosen: Candidate,
    fit: Fit,
    out: Path,
) -> Final:
    study, phase = stored.study, stored.phase
    network = chosen.proposal.build(dataset.segment_length, seed=phase.seed)
    network.load_state_dict(fit.state_dict)
    metadata = onnx_metadata(
        chosen.proposal, study=study.study_name, trial=chosen.trial, threshold=chosen.threshold
    )
    model = to_onnx(network, segment_length=dataset.segment_length, metadata=metadata)
    some = dataset.select(_spread(len(dataset), PARITY_SEGMENTS)).samples()
    parity = check_parity(network, model, some)
    tested = assess(OnnxClassifier(model), test, beta=phase.beta) if test is not None else None
    looks = _count_look(stored, test, tested, model)
    document = _metrics_document(chosen, tested, len(model), parity, looks)
    config = chosen.proposal.architecture.config_to_dict(chosen.proposal.config)

    def write_checkpoint(path: Path) -> None:
        save_checkpoint(
            path, fit.state_dict, config=config, segment_length=dataset.segment_length, metadata=metadata
        )

    folder = out / study.study_name / bundle_name(tested or chosen.out_of_fold)
    bundle = write_bundle(
        folder,
        [
            BundleFile(name="model.onnx", write=lambda path: _write(path, model)),
            BundleFile(name="model.pt", write=write_checkpoint),
            BundleFile(name="metrics.json", write=lambda path: _write(path, to_json(document).encode())),
        ],
        _facts(stored, chosen, metadata, test),
    )
    return Final(
        bundle=bundle,
        candidates=candidates,
        chosen=chosen,
        test=tested,
        onnx_bytes=len(model),
        parity=parity,
        test_looks=looks,
    )


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _spread(length: int, count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return up to `count` positions spread evenly over `length`."""
    return np.unique(np.linspace(0, length - 1, min(count, length)).astype(np.int64))


def _refuse_leak(dataset: Dataset, test: Dataset | None) -> None:
    if test is None:
        return
    _, shared = drop_shared_subjects(dataset, test)
    if shared:
        raise StudyError(
            f"{', '.join(shared)} are in training and test both; list them under data.exclude_subjects "
            "of a new study (`atml run --train … --test …` does so by itself)"
        )


def _count_look(stored: StoredStudy, test: Dataset | None, tested: Metrics | None, model: bytes) -> int:
    """Record on the study that the test segments were looked at, and return how often so far.

    The same model on the same segments tells nothing new, so repeating it is no further look.
    """
    looks = list(stored.study.user_attrs.get(TEST_LOOKS, []))
    if test is None or tested is None:
        return len(looks)
    look = {"model": hashlib.sha256(model).hexdigest(), "fingerprint": test.fingerprint}
    if not any(look.items() <= earlier.items() for earlier in looks):
        now = datetime.now(UTC).isoformat(timespec="seconds")
        looks.append({**look, "when": now, "directory": test.source, "fbeta": round(tested.fbeta, 6)})
        stored.study.set_user_attr(TEST_LOOKS, looks)
    return len(looks)


def _metrics_document(
    chosen: Candidate, tested: Metrics | None, onnx_bytes: int, parity: float, looks: int
) -> dict[str, Any]:
    return {
        "onnx_bytes": onnx_bytes,
        "threshold": chosen.threshold,
        "parity": parity,
        "test": tested.to_dict() if tested else None,
        "test_looks": looks,
        "out_of_fold": chosen.out_of_fold.to_dict(),
        "search_fbeta": chosen.search_fbeta,
    }


def _facts(
    stored: StoredStudy, chosen: Candidate, metadata: OnnxMetadata, test: Dataset | None
) -> dict[str, Any]:
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "study": stored.study.study_name,
        "trial": chosen.trial,
        "architecture": metadata.architecture,
        "config": chosen.proposal.architecture.config_to_dict(chosen.proposal.config),
        "learning_rate": chosen.proposal.learning_rate,
        "threshold": metadata.threshold,
        "training_data": {"fingerprint": stored.data.fingerprint, "segments": stored.data.segments},
        "test_data": None if test is None else {"fingerprint": test.fingerprint, "segments": len(test)},
        "spec": stored.phase.stored(),
    }
