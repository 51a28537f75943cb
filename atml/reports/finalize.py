"""From a finished study to one model: evaluate the leaders again, retrain, calibrate, test once."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial

from atml.ecg import Dataset, drop_shared_subjects
from atml.errors import StudyError
from atml.evaluation import FoldCounts, Metrics, best_threshold, estimate, evaluate
from atml.export import OnnxClassifier, OnnxMetadata, check_parity, save_checkpoint, to_onnx
from atml.models import get_architecture
from atml.reports.assessment import assess
from atml.reports.bundle import BundleFile, bundle_name, to_json, write_bundle
from atml.reports.fits import Fit, job, run_fits
from atml.reports.looks import count_look, looks
from atml.service.artifacts import local_folder
from atml.service.data import load_training_data
from atml.service.studies import StoredStudy, StudyData, check_data
from atml.tuning import records
from atml.tuning.phases import Phase
from atml.tuning.proposal import Proposal
from atml.tuning.ranking import Contender, contenders, rank
from atml.tuning.sizes import onnx_metadata

PARITY_SEGMENTS = 1000
CUT_AGAIN = 1  # leaders are evaluated again on folds other than those of the race


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A leader of the search, evaluated again on new folds."""

    contender: Contender  # with the estimate over the search's folds and the new ones
    proposal: Proposal
    threshold: float
    out_of_fold: Metrics  # on the new folds, at the threshold chosen on the same scores

    @property
    def trial(self) -> int:
        """Number of the trial."""
        return self.contender.trial.number

    @property
    def onnx_bytes(self) -> int:
        """Size of the model."""
        return self.contender.onnx_bytes

    @property
    def fbeta(self) -> float:
        """F-beta over the search's folds and the new ones, by which the winner is chosen."""
        return self.contender.fbeta

    @property
    def search_fbeta(self) -> float:
        """F-beta over the search's folds only; biased upwards, since leaders are chosen by it."""
        return records.fbeta(self.contender.trial)


@dataclass(frozen=True, kw_only=True)
class Final:
    """The shipped model and its results."""

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
    train: Path | None = None,
    report: Reporter = lambda stage, done, total: None,
) -> Final:
    """Make the bundle of a study.

    The leaders of the search are trained again in the same way on new folds. Both sets of folds together
    determine the winner, the new ones its threshold. The winner is then trained on all subjects in the
    same way, and only that model is evaluated on the test segments, once.

    Args:
        stored: The study.
        test: Segments of subjects that it has not seen.
        out: Folder for bundles.
        artifacts: Where the study's files are; finished fits are kept there too.
        workers: Number of parallel fits.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        train: Where the training segments are now, if they have moved.
        report: Called with (stage, fits done, fits in total).

    Raises:
        StudyError: no trial has finished the race, or training and test share a subject.
        SpecChanged: the training segments are not those that the study was created with.
    """
    phase = stored.phase
    if train is not None:
        phase = phase.model_copy(update={"data": phase.data.model_copy(update={"train": str(train)})})
    dataset = load_training_data(phase.data)
    check_data(stored, StudyData.of(dataset))
    _refuse_leak(dataset, test)
    folder = local_folder(artifacts) / stored.study.study_name / "fits"

    def run(stage: str, jobs: list[Any]) -> list[Fit]:
        def on_done(done: int, total: int) -> None:
            report(stage, done, total)

        return run_fits(jobs, folder, workers=workers, device=device, on_done=on_done)

    candidates = _judge_again(stored, phase, dataset, run)
    winner = rank([one.contender for one in candidates], phase.targets)[0]
    chosen = next(one for one in candidates if one.contender is winner)
    jobs = [
        job(phase, dataset.fingerprint, chosen.proposal, fold=None, seed=seed)
        for seed in range(phase.finalize.seeds)
    ]
    # There is no validation to choose by; the run with the lowest training loss converged best.
    best = min(run("retrain", jobs), key=lambda fit: fit.train_loss)
    return _ship(stored, dataset, test, candidates, chosen, best, out)


def _judge_again(
    stored: StoredStudy, phase: Phase, dataset: Dataset, run: Callable[[str, list[Any]], list[Fit]]
) -> tuple[Candidate, ...]:
    ranking = rank(contenders(stored.study.get_trials(deepcopy=False)), phase.targets)
    if not ranking:
        raise StudyError(
            f"study {stored.study.study_name!r} has no trial that finished the race; let it run longer"
        )
    leaders = ranking[: phase.finalize.candidates]
    folds = range(phase.data.folds)
    jobs = [
        job(phase, dataset.fingerprint, _proposal(one.trial), fold=fold, seed=CUT_AGAIN)
        for one in leaders
        for fold in folds
    ]
    fits = run("judge again", jobs)
    return tuple(
        _candidate(phase, one, dataset, fits[i * len(folds) : (i + 1) * len(folds)])
        for i, one in enumerate(leaders)
    )


def _candidate(phase: Phase, leader: Contender, dataset: Dataset, fits: list[Fit]) -> Candidate:
    rows = np.concatenate([fit.valid_rows for fit in fits])
    scores = np.concatenate([fit.valid_scores for fit in fits])
    labels, subjects, rhythms = dataset.labels[rows], dataset.subjects[rows], dataset.rhythms[rows]
    threshold = best_threshold(labels, scores, subjects, beta=phase.beta)
    again = [_counts(dataset, fit) for fit in fits]
    before = records.folds(leader.trial)
    return Candidate(
        contender=replace(leader, estimate=estimate([*before.values(), *again], beta=phase.beta)),
        proposal=_proposal(leader.trial),
        threshold=threshold,
        out_of_fold=evaluate(labels, scores, subjects, rhythms, threshold=threshold, beta=phase.beta),
    )


def _counts(dataset: Dataset, fit: Fit) -> FoldCounts:
    return FoldCounts.of(dataset.labels[fit.valid_rows], fit.valid_scores, dataset.subjects[fit.valid_rows])


def _proposal(trial: FrozenTrial) -> Proposal:
    architecture = get_architecture(records.architecture(trial))
    config = architecture.config_from_dict(records.config(trial) or {})
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
    metadata = onnx_metadata(chosen.proposal, threshold=chosen.threshold)
    model = to_onnx(network, segment_length=dataset.segment_length, metadata=metadata)
    some = dataset.select(_spread(len(dataset), PARITY_SEGMENTS)).samples()
    parity = check_parity(network, model, some)
    tested = assess(OnnxClassifier(model), test, beta=phase.beta) if test is not None else None
    if test is not None and tested is not None:
        count_look(stored, model, test, tested.fbeta)
    looked = len(looks(study))
    document = _metrics_document(chosen, tested, len(model), parity, looked)
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
        test_looks=looked,
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


def _metrics_document(
    chosen: Candidate, tested: Metrics | None, onnx_bytes: int, parity: float, looked: int
) -> dict[str, Any]:
    return {
        "onnx_bytes": onnx_bytes,
        "threshold": chosen.threshold,
        "parity": parity,
        "test": tested.to_dict() if tested else None,
        "test_looks": looked,
        "out_of_fold": chosen.out_of_fold.to_dict(),
        "search_fbeta": chosen.search_fbeta,
        "folds_fbeta": chosen.fbeta,
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
