"""Pruning for a study with two objectives, one of which is known before training."""

import numpy as np
from optuna.pruners import BasePruner
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from atml.search import records


class SizeAwarePruner(BasePruner):
    """Prunes a trial that is behind trials which are no larger than it.

    Optuna forbids `report` and `should_prune` in a multi-objective study, since two unknown
    objectives cannot be ranked halfway (its issue 3450). Here one of the two, the ONNX size, is
    known beforehand, so a fair question remains: at the same epoch, is this trial's best F-beta
    among the worst of the trials that are no larger? If so it is heading for a point that those
    dominate. A trial that is the smallest so far is never pruned.

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
        epochs = len(records.curve(trial))
        if epochs <= self._warmup_epochs:
            return False
        rivals = [
            best_until(other, epochs)
            for other in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
            if len(records.curve(other)) >= epochs and records.onnx_bytes(other) <= records.onnx_bytes(trial)
        ]
        if len(rivals) < self._startup_trials:
            return False
        return best_until(trial, epochs) < float(np.quantile(rivals, 1 - self._keep))


def best_until(trial: FrozenTrial, epochs: int) -> float:
    """Best validation F-beta of `trial` within its first `epochs` epochs."""
    return max(point.fbeta for point in records.curve(trial)[:epochs])
