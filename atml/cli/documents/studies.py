"""Searches and their trials as JSON documents."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Literal, cast

from optuna.trial import FrozenTrial

from atml.errors import AtmlError
from atml.service.stored import StoredStudy, StudyData
from atml.service.worker_states import WorkerState
from atml.tuning import records
from atml.tuning.failures import reason_of
from atml.tuning.outcome import Outcome, Summary
from atml.tuning.progress import Progress, RunningTrial
from atml.tuning.stop import Stop

State = Literal["running", "complete", "pruned", "fail", "waiting"]


@dataclass(frozen=True, kw_only=True)
class TrialDocument:
    """A trial and its result."""

    trial: int  #: Number of the trial.
    state: State  #: State of the trial in Optuna.
    architecture: str  #: Name of the architecture.
    learning_rate: float | None  #: Learning rate.
    config: dict[str, int | float] | None  #: Fields of the architecture's config, such as its widths.
    fbeta: float  #: F-beta: mean over `folds`, at `threshold`.
    standard_error: float | None  #: Standard error of that mean; null with one fold.
    folds: int  #: Number of finished folds, with those of an earlier trial at the same point.
    threshold: float | None  #: The threshold, the same for all folds, with the best mean F-beta.
    onnx_bytes: int | None  #: Its size in bytes, of what `targets.size_of` names.
    parameters: int | None  #: Number of trainable parameters.
    #: RAM that the INT8 model's C code needs, with 512 bytes for the stack; null if none can be generated.
    ram_bytes: int | None
    macs: int | None  #: Multiply-accumulates for one segment.
    flash_bytes: int | None  #: Flash of the C code; null unless the study's targets name flash.
    #: Instructions for one segment on a Cortex-M4F; null unless the study's targets limit them.
    instructions: int | None
    #: Number of epochs of its own folds, not of those that an earlier trial finished; a trial that is trained
    #: again after an interruption includes the epochs before it that it continues.
    epochs: int
    seconds: float  #: Time of these epochs in seconds.
    #: Validation metrics over its folds, by name; null before its first fold ended.
    metrics: dict[str, float | None] | None


@dataclass(frozen=True, kw_only=True)
class ErrorDocument:
    """A trial that ended with an error."""

    trial: int  #: Number of the trial.
    error: str  #: The error.


@dataclass(frozen=True, kw_only=True)
class SizeDocument:
    """The best model within one of the requested sizes."""

    onnx_bytes_at_most: int  #: The size in bytes.
    best: TrialDocument  #: The best trial within it.
    #: F-beta gained in the second half of the trained trials; null if none of this size finished before.
    gained: float | None


@dataclass(frozen=True, kw_only=True)
class OutcomeDocument(Summary):
    """The result of a study so far."""

    phase: str  #: `joint`, `architecture` or `width`.
    errors: list[ErrorDocument]  #: Trials that ended with an error, oldest first.
    best: TrialDocument | None  #: The trial ranked first; null before one has been evaluated.
    front: list[TrialDocument]  #: Trials not beaten in both F-beta and size, smallest first.
    #: The best trial within each size, smallest first; sizes without one are omitted.
    by_size: list[SizeDocument]
    #: Trials that finished the race, best first; while there are none, those that got furthest.
    ranking: list[TrialDocument]
    stopped: Stop | None  #: Why the study has ended; null if it has not.


@dataclass(frozen=True, kw_only=True)
class BudgetDocument:
    """The budget of a study."""

    trials: int | None  #: `budget.trials` of the spec.
    minutes: float | None  #: `budget.minutes` of the spec.


@dataclass(frozen=True, kw_only=True)
class StudyDocument(OutcomeDocument):
    """A study: its result so far, data, budget and running trials."""

    data: StudyData  #: The segments it was created with.
    budget: BudgetDocument  #: Its budget.
    running: tuple[RunningTrial, ...]  #: Trials in training.
    seconds_left: float | None  #: Estimate of the remaining time; null if unknown.
    waits_for: str | None  #: The phase 1 study that must end first; null if none.


@dataclass(frozen=True, kw_only=True)
class NotShownDocument:
    """A study that cannot be read."""

    study: str  #: Name of the study.
    error: str  #: Why not, and what to do.


@dataclass(frozen=True, kw_only=True)
class StatusDocument:
    """Studies and workers of a storage."""

    studies: list[StudyDocument]  #: All studies, or the named one.
    workers: list[WorkerState]  #: All workers, or those of the named study.
    #: Studies that cannot be read: somebody has damaged them, or another version of ATML made them.
    not_shown: list[NotShownDocument]


def outcome_document(of: Outcome) -> OutcomeDocument:
    """Return an outcome as a document."""
    return OutcomeDocument(
        **{field.name: getattr(of, field.name) for field in fields(Summary)},
        phase=of.phase.phase,
        errors=[ErrorDocument(trial=trial.number, error=reason_of(trial)) for trial in of.errors],
        best=trial_document(of.best) if of.best else None,
        front=[trial_document(trial) for trial in of.front],
        by_size=[
            SizeDocument(onnx_bytes_at_most=one.limit, best=trial_document(one.best), gained=one.gained)
            for one in of.by_size
        ],
        ranking=[trial_document(trial) for trial in of.ranking],
        stopped=of.stop,
    )


def trial_document(trial: FrozenTrial) -> TrialDocument:
    """Return a trial and its result as a document."""
    known = records.estimate(trial)
    return TrialDocument(
        trial=trial.number,
        state=cast(State, trial.state.name.lower()),
        architecture=records.architecture(trial),
        learning_rate=records.learning_rate(trial),
        config=records.config(trial),
        fbeta=records.fbeta(trial),
        standard_error=known.standard_error if known else None,
        folds=known.folds if known else 0,
        threshold=known.threshold if known else None,
        onnx_bytes=trial.params.get(records.ONNX_BYTES),
        parameters=records.parameters(trial),
        **vars(records.footprint(trial)),
        epochs=len(records.curve(trial)),
        seconds=records.training_seconds(trial),
        metrics=records.metrics(trial) or None,
    )


def study_document(stored: StoredStudy, state: Progress, result: Outcome) -> StudyDocument:
    """Return a study's state as a document."""
    budget = state.snapshot.phase.budget
    return StudyDocument(
        **vars(outcome_document(result)),
        data=stored.data,
        budget=BudgetDocument(trials=budget.trials, minutes=budget.minutes),
        running=state.running,
        seconds_left=state.seconds_left,
        waits_for=stored.waits_for,
    )


def status_document(
    studies: Iterable[tuple[StoredStudy, Progress, Outcome]],
    workers: list[WorkerState],
    damaged: Mapping[str, AtmlError],
) -> StatusDocument:
    """Return the studies and workers of a storage as a document."""
    return StatusDocument(
        studies=[study_document(*one) for one in studies],
        workers=workers,
        not_shown=[NotShownDocument(study=name, error=str(error)) for name, error in damaged.items()],
    )
