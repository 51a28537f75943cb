"""How much of a study's budget is spent, computed from the trials, so every process agrees."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from optuna.trial import FrozenTrial, TrialState

from atml.tuning import records
from atml.tuning.spec import BudgetSpec
from atml.words import counted


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What a study has used so far."""

    trained: int  #: Trials that were trained for at least one epoch; they count for the budget.
    running: int  #: Trials in training.
    untrained: int  #: Trials that were pruned before their first epoch: they cost nothing.
    seconds: float  #: Wall-clock time during which at least one trial ran.


def spent(trials: Sequence[FrozenTrial], now: datetime) -> Spent:
    """Compute what the trials of a study have used."""
    return Spent(
        trained=len(records.trained(trials)),
        running=sum(trial.state == TrialState.RUNNING for trial in trials),
        untrained=sum(one.state == TrialState.PRUNED and not records.was_trained(one) for one in trials),
        seconds=active_seconds(trials, now),
    )


def active_seconds(trials: Sequence[FrozenTrial], now: datetime) -> float:
    """Return the length of the union of all trials' running times.

    Pauses between sessions are not counted, nor are failed trials: a trial whose process was killed
    may have been closed long after it stopped working.
    """
    spans = sorted(
        (trial.datetime_start, trial.datetime_complete or now)
        for trial in trials
        if trial.datetime_start is not None and trial.state != TrialState.FAIL
    )
    total = 0.0
    reached: datetime | None = None
    for start, end in spans:
        begin = start if reached is None else max(start, reached)
        if end > begin:
            total += (end - begin).total_seconds()
        reached = end if reached is None else max(reached, end)
    return total


def exhausted(budget: BudgetSpec, used: Spent, first: int | None = None) -> str | None:
    """Return which part of the budget is used up, or None; `first` is a trial that may finish beyond it."""
    if budget.trials is not None and used.trained >= budget.trials:
        return f"the budget of {counted(budget.trials, 'trial')} is spent"
    return out_of_time(budget, used.seconds) if first is None else None


def first_to_finish(trials: Sequence[FrozenTrial]) -> int | None:
    """Return the trial that may finish although the time is over, since otherwise there is no model.

    It is the oldest that runs or is queued, as long as none has run to its end. All processes find the same.
    """
    if records.completed(trials):
        return None
    left = [trial for trial in trials if trial.state in (TrialState.RUNNING, TrialState.WAITING)]
    return min(left, key=_start_order).number if left else None


def out_of_time(budget: BudgetSpec, seconds: float) -> str | None:
    """Return a message if the time is used up, else None."""
    if budget.minutes is not None and seconds >= budget.minutes * 60:
        return f"the budget of {budget.minutes:g} min is spent"
    return None


def may_train(budget: BudgetSpec, trials: Sequence[FrozenTrial], number: int) -> bool:
    """Whether trial `number` fits into the budget in addition to the trials that started before it.

    Two workers may both find one trial left and both start one. The start order decides: each counts
    the trained trials and those that started before it, so at most one fits.
    """
    if budget.trials is None:
        return True
    own = _start_order(trials[number])
    ahead = sum(trial.state == TrialState.RUNNING and _start_order(trial) < own for trial in trials)
    return len(records.trained(trials)) + ahead < budget.trials


def _start_order(trial: FrozenTrial) -> tuple[datetime, int]:
    return (trial.datetime_start or datetime.max, trial.number)
