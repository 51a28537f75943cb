"""Intermediate values in studies with any number of objectives.

Optuna does not support `Trial.report` and `Trial.should_prune` with several objectives, since it cannot
rank unfinished trials by several unknown objectives (issue 3450). A pruner that uses one objective can, so
these functions keep the values of such studies in a user attribute.
"""

import math

from optuna import Trial
from optuna.trial import FrozenTrial

REPORTED = "reported"  # user attribute: {step: value}


def report(trial: Trial, value: float, step: int) -> None:
    """Record the first objective's value at a step, such as an epoch.

    Raises ValueError for a negative step.
    """
    if step < 0:
        raise ValueError(f"`step` must be 0 or more but got {step}.")
    if len(trial.study.directions) == 1:
        trial.report(value, step)
    else:
        trial.set_user_attr(REPORTED, {**trial.user_attrs.get(REPORTED, {}), str(step): float(value)})


def should_prune(trial: Trial) -> bool:
    """Whether the study's pruner would end `trial` now; call before the first step and after each."""
    study = trial.study
    return bool(study.pruner.prune(study, study.get_trials(deepcopy=False)[trial.number]))


def reported(trial: FrozenTrial) -> dict[int, float]:
    """Return the reported values by step, without NaN."""
    kept = {int(step): value for step, value in trial.user_attrs.get(REPORTED, {}).items()}
    values = {**trial.intermediate_values, **kept}
    return {step: value for step, value in sorted(values.items()) if not math.isnan(value)}
