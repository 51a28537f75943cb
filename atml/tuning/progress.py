"""The current state of a study, read from its storage: the same view on any machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from optuna.trial import FrozenTrial, TrialState

from atml.tuning import records
from atml.tuning.budget import Spent, first_to_finish, out_of_time, spent
from atml.tuning.phases import Phase
from atml.tuning.snapshot import Snapshot


@dataclass(frozen=True, kw_only=True)
class RunningTrial:
    """A trial in training."""

    number: int  #: Number of the trial.
    architecture: str  #: Name of the architecture.
    learning_rate: float | None  #: Learning rate.
    fold: int  #: Fold in training, from 0.
    epoch: int  #: Finished epochs of this fold.
    epochs: int  #: Epochs of a fold.
    fbeta: float | None  #: F-beta so far; None before the first epoch has ended.
    onnx_bytes: int | None  #: Its size in bytes, of what `targets.size_of` names.
    host: str  #: Host of its worker.
    pid: int  #: Process number of its worker.


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A study's progress."""

    snapshot: Snapshot
    spent: Spent
    running: tuple[RunningTrial, ...]
    best: FrozenTrial | None
    finished: tuple[FrozenTrial, ...]
    seconds_left: float | None  # an estimate
    overdue: int | None  # the trial that finishes although the time is over


def progress(of: Snapshot) -> Progress:
    """Compute a study's progress."""
    phase, trials = of.phase, of.trials
    used = spent(trials, of.taken)
    ranking = phase.rank(trials)
    return Progress(
        snapshot=of,
        spent=used,
        running=tuple(_running(t, phase) for t in trials if t.state == TrialState.RUNNING),
        best=ranking[0] if ranking else None,
        finished=tuple(trial for trial in trials if trial.state.is_finished()),
        seconds_left=_seconds_left(phase, trials, used),
        overdue=first_to_finish(trials) if out_of_time(phase.budget, used.seconds) else None,
    )


def _running(trial: FrozenTrial, phase: Phase) -> RunningTrial:
    worker = trial.user_attrs.get(records.WORKER, {})
    known = records.estimate(trial)
    fold = known.folds if known else 0
    return RunningTrial(
        number=trial.number,
        architecture=records.architecture(trial),
        learning_rate=records.learning_rate(trial),
        fold=fold,
        epoch=sum(point.fold == fold for point in records.curve(trial)),
        epochs=phase.training.epochs,
        fbeta=records.fbeta(trial) if known or records.curve(trial) else None,
        onnx_bytes=trial.params.get(records.ONNX_BYTES),
        host=worker.get("host", ""),
        pid=worker.get("pid", 0),
    )


def _seconds_left(phase: Phase, trials: Sequence[FrozenTrial], used: Spent) -> float | None:
    """Estimate the time until the budget's trials or minutes run out, whichever is first."""
    estimates = []
    if phase.budget.minutes is not None:
        estimates.append(phase.budget.minutes * 60 - used.seconds)
    durations = [records.training_seconds(trial) for trial in records.trained(trials)]
    if phase.budget.trials is not None and durations:
        left = phase.budget.trials - used.trained
        estimates.append(left * mean(durations) / max(1, used.running))
    return max(0.0, min(estimates)) if estimates else None
