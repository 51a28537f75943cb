"""Trying again what ended without a verdict."""

from typing import Any

from optuna import Study, Trial
from optuna.trial import FrozenTrial

from atml.search import records

# A trial whose worker died this often is what kills them, for want of memory perhaps.
MOST_DEATHS = 3


def queue_after_death(study: Study, trial: FrozenTrial) -> None:
    """Queue a trial again whose worker died, unless its workers keep dying."""
    deaths = trial.user_attrs.get(records.DEATHS, 0) + 1
    if deaths <= MOST_DEATHS:
        queue_again(study, trial, deaths=deaths)


def queue_again(study: Study, trial: Trial | FrozenTrial, *, deaths: int | None = None) -> None:
    """Queue the parameters of an interrupted trial; its successor counts once, under its own number.

    Args:
        study: The trial's study.
        trial: What was interrupted.
        deaths: How many workers have died of it; as before if not given.
    """
    # A trial that was queued itself may have been cut short before it asked for its parameters.
    queued = study.get_trials(deepcopy=False)[trial.number].system_attrs.get("fixed_params", {})
    params = {**queued, **trial.params}
    if params:
        attributes: dict[str, Any] = {records.RETRY_OF: records.first_number(trial)}
        attributes[records.DEATHS] = trial.user_attrs.get(records.DEATHS, 0) if deaths is None else deaths
        study.enqueue_trial(params, user_attrs=attributes)
