"""Trying again what ended without a verdict."""

from optuna import Study, Trial
from optuna.trial import FrozenTrial

from atml.search import records


def queue_again(study: Study, trial: Trial | FrozenTrial) -> None:
    """Queue the parameters of an interrupted trial; its successor counts once, under its own number."""
    # A trial that was queued itself may have been cut short before it asked for its parameters.
    queued = study.get_trials(deepcopy=False)[trial.number].system_attrs.get("fixed_params", {})
    params = {**queued, **trial.params}
    if params:
        original = trial.user_attrs.get(records.RETRY_OF, trial.number)
        study.enqueue_trial(params, user_attrs={records.RETRY_OF: original})
