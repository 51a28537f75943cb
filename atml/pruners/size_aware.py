"""Pruning in a study with two objectives, one of which is known before training."""

import math

import numpy as np
from optuna.pruners import BasePruner
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from atml.pruners.reports import reported, sign_of


class SizeAwarePruner(BasePruner):
    """Prunes a trial that is worse than trials of the same or a smaller size.

    For a study with two objectives: first one that is learnt, such as accuracy, and one that is known as soon
    as a trial has its parameters and is minimised, such as a model's size. A trial is pruned if its value is
    among the worst of the no larger trials at the same step, in the direction of the first objective, since
    those are likely to dominate it. A trial smaller than all others is never pruned, except for a value that
    is not a number. A subclass may override `curve` and `size`.

    Example::

        study = optuna.create_study(
            directions=["maximize", "minimize"], pruner=SizeAwarePruner(size="parameters")
        )

        def objective(trial):
            network = build(trial)
            trial.set_user_attr("parameters", count(network))
            for epoch in range(10):
                accuracy = train_epoch(network)
                report(trial, accuracy, epoch)
                if should_prune(trial):
                    raise optuna.TrialPruned
            return accuracy, count(network)

    Args:
        size: User attribute or parameter with a trial's size.
        startup_trials: Number of no larger trials that must have reached the step first.
        warmup_steps: Steps before a trial can be pruned.
        keep: Fraction of the trials that continue; .5 prunes trials below the median.

    Raises ValueError for values that are out of range.
    """

    def __init__(
        self,
        *,
        size: str = "onnx_bytes",
        startup_trials: int = 4,
        warmup_steps: int = 1,
        keep: float = 0.5,
    ) -> None:
        if startup_trials < 1:
            raise ValueError(f"`startup_trials` must be 1 or more but got {startup_trials}.")
        if warmup_steps < 0:
            raise ValueError(f"`warmup_steps` must be 0 or more but got {warmup_steps}.")
        if not 0 < keep <= 1:
            raise ValueError(f"`keep` must be above 0 and at most 1 but got {keep}.")
        self._size = size
        self._startup_trials = startup_trials
        self._warmup_steps = warmup_steps
        self._keep = keep

    def size(self, trial: FrozenTrial) -> float:
        """Return the size of `trial`; infinite if it has none."""
        return float(trial.user_attrs.get(self._size, trial.params.get(self._size, math.inf)))

    def curve(self, trial: FrozenTrial) -> dict[int, float]:
        """Return the values of `trial` by step."""
        return reported(trial)

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether `trial` is behind at its latest step, among the trials that are no larger."""
        own = self.curve(trial)
        if self._keep == 1 or len(own) <= self._warmup_steps:
            return False
        step, size = max(own), self.size(trial)
        if math.isnan(own[step]):
            return True
        ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        curves = [self.curve(other) for other in ended if self.size(other) <= size]
        sign = sign_of(study)
        rivals = [sign * curve[step] for curve in curves if not math.isnan(curve.get(step, math.nan))]
        if len(rivals) < self._startup_trials:
            return False
        # Between infinite values a quantile is undefined. Rounded, since 1 - .7 is a little more than .3.
        return sign * own[step] < float(np.quantile(np.nan_to_num(rivals), round(1 - self._keep, 9)))
