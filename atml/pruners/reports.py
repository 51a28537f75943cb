"""Intermediate values in studies with any number of objectives.

Optuna does not support `Trial.report` and `Trial.should_prune` with several objectives, since it cannot
rank unfinished trials by several unknown objectives (issue 3450). A pruner that uses one objective can, so
these functions keep the values of such studies in a user attribute.
"""

from optuna.study import Study, StudyDirection
from optuna.trial import BaseTrial, FrozenTrial, Trial

REPORTED = "reported"  # user attribute: {step: value}


def report(trial: BaseTrial, value: float, step: int) -> None:
    """Record the first objective's value at a step, such as an epoch; of a step's values the first counts.

    Raises ValueError for a negative step.
    """
    step = int(step)
    if step < 0:
        raise ValueError(f"`step` must be 0 or more but got {step}.")
    if not isinstance(trial, Trial) or len(trial.study.directions) == 1:
        trial.report(value, step)
    else:
        trial.set_user_attr(REPORTED, {str(step): float(value), **trial.user_attrs.get(REPORTED, {})})


def should_prune(trial: BaseTrial) -> bool:
    """Whether the study's pruner would end `trial` now; call before the first step and after each.

    False for a `FixedTrial`, which has no study.
    """
    if not isinstance(trial, Trial):
        return False
    study = trial.study
    return bool(study.pruner.prune(study, study.get_trials(deepcopy=False)[trial.number]))


def reported(trial: FrozenTrial) -> dict[int, float]:
    """Return the reported values by step, in order."""
    kept = {int(step): value for step, value in trial.user_attrs.get(REPORTED, {}).items()}
    return dict(sorted({**trial.intermediate_values, **kept}.items()))


def sign_of(study: Study) -> int:
    """Return 1 if the study's first objective is maximized, -1 if it is minimized."""
    return 1 if study.directions[0] == StudyDirection.MAXIMIZE else -1
