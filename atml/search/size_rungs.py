"""Pruning for a study with two objectives, one of which is known before training."""

import math

import numpy as np
from optuna.pruners import BasePruner
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from atml.search import records
from atml.search.records import CurvePoint


class SizeAwarePruner(BasePruner):
    """Prunes a trial that is behind trials which are no larger than it.

    Optuna forbids `report` and `should_prune` in a multi-objective study, since two unknown
    objectives cannot be ranked halfway (its issue 3450). Here one of the two, the ONNX size, is
    known beforehand, so a fair question remains: at the same epoch of the first fold, is this trial's F-beta
    among the worst of the trials that are no larger? If so it is heading for a point that those
    dominate. A trial that is the smallest so far is never pruned, nor is one that has finished a fold:
    from then on the race decides.

    Args:
        startup_trials: Trials of no larger size that must have reached the epoch first.
        warmup_epochs: Epochs that every trial gets.
        keep: Share of the trials that goes on; .5 prunes what is below the median.
    """

    def __init__(self, *, startup_trials: int = 4, warmup_epochs: int = 1, keep: float = 0.5) -> None:
        if startup_trials < 1:
            raise ValueError(f"`startup_trials` must be 1 or more but got {startup_trials}.")
        if warmup_epochs < 0:
            raise ValueError(f"`warmup_epochs` must be 0 or more but got {warmup_epochs}.")
        if not 0 < keep <= 1:
            raise ValueError(f"`keep` must be above 0 and at most 1 but got {keep}.")
        self._startup_trials = startup_trials
        self._warmup_epochs = warmup_epochs
        self._keep = keep

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether `trial` is behind at its latest epoch, among the trials that are no larger."""
        own = first_fold(trial)
        if len(own) <= self._warmup_epochs or len(own) < len(records.curve(trial)):
            return False
        finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        smaller = [first_fold(other) for other in finished if _size(other) <= records.onnx_bytes(trial)]
        rivals = [curve[len(own) - 1].fbeta for curve in smaller if len(curve) >= len(own)]
        if len(rivals) < self._startup_trials:
            return False
        return own[-1].fbeta < float(np.quantile(rivals, 1 - self._keep))


def first_fold(trial: FrozenTrial) -> list[CurvePoint]:
    """Return the epochs that `trial` was trained for on the first fold."""
    return [point for point in records.curve(trial) if point.fold == 0]


def _size(trial: FrozenTrial) -> float:
    return float(trial.user_attrs.get(records.ONNX_BYTES, math.inf))
