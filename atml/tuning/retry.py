"""Trying again what ended without a verdict."""

from optuna import Study, Trial
from optuna.trial import FrozenTrial

from atml.tuning import records

# A trial whose workers died this often in a row, none of them an epoch further than the one before, is
# what kills them, for want of memory perhaps.
MOST_DEATHS = 8


def queue_after_death(study: Study, trial: FrozenTrial) -> None:
    """Queue a trial again whose worker died, unless its workers keep dying of it."""
    deaths = 1 if got_further(trial) else trial.user_attrs.get(records.DEATHS, 0) + 1
    if deaths <= MOST_DEATHS:
        queue_again(study, trial, deaths=deaths)


def got_further(trial: Trial | FrozenTrial) -> bool:
    """Whether `trial` has an epoch that no earlier try had."""
    return _reached(trial) > _reached_before(trial)


def _reached(trial: Trial | FrozenTrial) -> list[int]:
    """Return the folds that `trial` has finished, and its epochs of the next: a retry may have no others."""
    known = len(records.folds(trial))
    return [known, sum(point.fold == known for point in records.curve(trial))]


def _reached_before(trial: Trial | FrozenTrial) -> list[int]:
    before: list[int] = trial.user_attrs.get(records.REACHED, [0, 0])
    return before


def queue_again(study: Study, trial: Trial | FrozenTrial, *, deaths: int | None = None) -> None:
    """Queue the parameters of an interrupted trial; its successor counts once, under its own number.

    Args:
        study: The trial's study.
        trial: What was interrupted.
        deaths: How many workers have died of it; as before if not given.
    """
    # A trial that was queued itself may have been cut short before it asked for its parameters.
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
