"""What a study is doing at this moment, read from its storage: the same view from any machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import mean

from optuna.trial import FrozenTrial, TrialState

from atml.search import records
from atml.search.budget import Spent, spent
from atml.search.phases import Phase
from atml.service.studies import StoredStudy


@dataclass(frozen=True, kw_only=True)
class RunningTrial:
    """One trial in training."""

    number: int
    architecture: str
    learning_rate: float | None
    epoch: int  # epochs finished
    epochs: int
    fbeta: float
    onnx_bytes: int | None
    host: str
    pid: int


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A study's state for people who wait."""

    study: str
    spent: Spent
    trials_budget: int | None
    minutes_budget: float | None
    running: tuple[RunningTrial, ...]
    best: FrozenTrial | None
    finished: tuple[FrozenTrial, ...]
    seconds_left: float | None


def progress(stored: StoredStudy, now: datetime) -> Progress:
    """Read the state of a study."""
    trials = stored.study.get_trials(deepcopy=False)
    used = spent(trials, now)
    ranking = stored.phase.rank(trials)
    return Progress(
        study=stored.study.study_name,
        spent=used,
        trials_budget=stored.phase.budget.trials,
        minutes_budget=stored.phase.budget.minutes,
        running=tuple(_running(t, stored.phase) for t in trials if t.state == TrialState.RUNNING),
        best=ranking[0] if ranking else None,
        finished=tuple(trial for trial in trials if trial.state.is_finished()),
        seconds_left=_seconds_left(stored.phase, trials, used),
    )


def _running(trial: FrozenTrial, phase: Phase) -> RunningTrial:
    worker = trial.user_attrs.get(records.WORKER, {})
    return RunningTrial(
        number=trial.number,
        architecture=records.architecture(trial),
        learning_rate=records.learning_rate(trial),
        epoch=len(records.curve(trial)),
        epochs=phase.training.epochs,
        fbeta=records.fbeta(trial),
        onnx_bytes=trial.user_attrs.get(records.ONNX_BYTES),
        host=worker.get("host", ""),
        pid=worker.get("pid", 0),
    )


def _seconds_left(phase: Phase, trials: Sequence[FrozenTrial], used: Spent) -> float | None:
    """Estimate the time until the budget ends: the sooner of its trials and its minutes."""
    estimates = []
    if phase.budget.minutes is not None:
        estimates.append(phase.budget.minutes * 60 - used.seconds)
    durations = [records.training_seconds(trial) for trial in records.trained(trials)]
    if phase.budget.trials is not None and durations:
        left = phase.budget.trials - used.trained
        estimates.append(left * mean(durations) / max(1, used.running))
    return max(0.0, min(estimates)) if estimates else None
