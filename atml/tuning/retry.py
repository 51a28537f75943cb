"""Retrying trials that ended without a result."""

from optuna import Trial
from optuna.trial import FrozenTrial, TrialState, create_trial

from atml.tuning import records
from atml.tuning.grid import FIXED_PARAMS

# If workers die more often than this in a row without a new epoch, the trial itself probably kills them,
# for example by using too much memory. It is then ended, so that no worker tries its point again.
MOST_DEATHS = 8


def deaths_of(trial: Trial | FrozenTrial) -> int:
    """Return how many workers have died in a row without a new epoch, with the one that has just died."""
    before: int = trial.user_attrs.get(records.DEATHS, 0)
    return 1 if got_further(trial) else before + 1


def retry_after_death(trial: FrozenTrial) -> FrozenTrial | None:
    """Return the trial to queue after the death of its worker; None if it had no parameters yet."""
    return _retry(trial, deaths_of(trial))


def retry_after_interruption(trial: FrozenTrial) -> FrozenTrial | None:
    """Return the trial to queue after an interruption, which does not count as a death."""
    return _retry(trial, 0 if got_further(trial) else trial.user_attrs.get(records.DEATHS, 0))


def got_further(trial: Trial | FrozenTrial) -> bool:
    """Whether `trial` has an epoch that no earlier attempt had."""
    return _reached(trial) > _reached_before(trial)


def _reached(trial: Trial | FrozenTrial) -> list[int]:
    """Return how many folds `trial` has finished, and its epochs of the next fold."""
    known = len(records.folds(trial))
    return [known, sum(point.fold == known for point in records.curve(trial))]


def _reached_before(trial: Trial | FrozenTrial) -> list[int]:
    before: list[int] = trial.user_attrs.get(records.REACHED, [0, 0])
    return before


def _retry(trial: FrozenTrial, deaths: int) -> FrozenTrial | None:
    # A queued trial may have been interrupted before its parameters were suggested.
    params = {**trial.system_attrs.get(FIXED_PARAMS, {}), **trial.params}
    if not params:
        return None
    attributes = {
        records.RETRY_OF: records.first_number(trial),
        records.DEATHS: deaths,
        records.REACHED: max(_reached(trial), _reached_before(trial)),
    }
    return create_trial(state=TrialState.WAITING, user_attrs=attributes, system_attrs={FIXED_PARAMS: params})
