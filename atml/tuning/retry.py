"""Retrying trials that ended without a result."""

from optuna import Study, Trial
from optuna.trial import FrozenTrial

from atml.tuning import records

# If workers die more often than this in a row without a new epoch, the trial itself probably kills them,
# for example by using too much memory.
MOST_DEATHS = 8


def queue_after_death(study: Study, trial: FrozenTrial) -> None:
    """Requeue a trial whose worker died, unless it had just done so itself, or the workers keep dying."""
    first, later = records.first_number(trial), study.get_trials(deepcopy=False)[trial.number + 1 :]
    if any(one.user_attrs.get(records.RETRY_OF) == first for one in later):
        return
    deaths = 1 if got_further(trial) else trial.user_attrs.get(records.DEATHS, 0) + 1
    if deaths <= MOST_DEATHS:
        queue_again(study, trial, deaths=deaths)


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


def queue_again(study: Study, trial: Trial | FrozenTrial, *, deaths: int | None = None) -> None:
    """Queue the parameters of an interrupted trial as a new trial; only the new one counts.

    Args:
        study: The trial's study.
        trial: The interrupted trial.
        deaths: How many workers have died in a row; unchanged by default.
    """
    # A queued trial may have been interrupted before its parameters were suggested.
    known = trial if isinstance(trial, FrozenTrial) else study.get_trials(deepcopy=False)[trial.number]
    queued = known.system_attrs.get("fixed_params", {})
    params = {**queued, **trial.params}
    if params:
        before = trial.user_attrs
        attributes = {
            records.RETRY_OF: records.first_number(trial),
            records.DEATHS: before.get(records.DEATHS, 0) if deaths is None else deaths,
            records.REACHED: max(_reached(trial), _reached_before(trial)),
        }
        study.enqueue_trial(params, user_attrs=attributes)
