"""Neighbourhood pruning: what did badly once, and what lies beside it, is not tried again."""

import math
from dataclasses import dataclass

from optuna.pruners import BasePruner
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from atml.search import records
from atml.search.ladder import LearningRateLadder


@dataclass(frozen=True, kw_only=True)
class BadNeighbour:
    """The finished trial that rules out another one before its first epoch."""

    number: int
    learning_rate: float
    metric: str
    score: float
    distance: int  # rungs

    def __str__(self) -> str:
        where = "the same learning rate" if self.distance == 0 else f"{self.distance} rung(s) away"
        trial = f"trial {self.number} (learning rate {self.learning_rate:g}, {where})"
        return f"{trial} had {self.metric} {self.score:.3f}"


class NeighbourhoodPruner(BasePruner):
    """Prunes a trial untrained when its learning rate lies near one that did badly.

    A finished trial whose metric is below `threshold` marks its learning rate bad *for its
    architecture*. A new trial of that architecture within `radius` rungs of it, both ends
    included, is pruned before its first epoch. Once a trial has reported an epoch, the question
    goes to the `wrapped` pruner.

    The verdict is worked out from the finished trials in the storage at every call, so all workers
    and every resumed run see the same ones, and none can be lost.

    Args:
        wrapped: Pruner for trials that have begun to train.
        ladder: Rungs in which the distance is counted.
        radius: Largest distance, in rungs, at which a bad trial still rules out another.
        threshold: A metric below it is bad; between 0 and 1.
        metric: `worst`, the smallest of F1, accuracy, precision and recall, or any other name
            under the trial's recorded metrics, such as `fbeta`.
    """

    def __init__(
        self,
        wrapped: BasePruner,
        ladder: LearningRateLadder,
        *,
        radius: int = 2,
        threshold: float = 0.6,
        metric: str = "worst",
    ) -> None:
        if radius < 0:
            raise ValueError(f"`radius` must be 0 or more rungs but got {radius}.")
        if not 0 <= threshold <= 1:
            raise ValueError(f"`threshold` must be between 0 and 1 but got {threshold}.")
        self._wrapped = wrapped
        self._ladder = ladder
        self._radius = radius
        self._threshold = threshold
        self._metric = metric

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether to prune `trial`: by its neighbours before the first epoch, then as wrapped."""
        if not records.curve(trial) and not trial.intermediate_values:
            return self.bad_neighbour(study, trial) is not None
        return self._wrapped.prune(study, trial)

    def bad_neighbour(self, study: Study, trial: FrozenTrial) -> BadNeighbour | None:
        """Return the nearest finished trial that rules `trial` out, if there is one."""
        learning_rate = records.learning_rate(trial)
        if learning_rate is None:
            return None
        rung = self._ladder.rung(learning_rate)
        nearest: BadNeighbour | None = None
        for other in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)):
            bad = self._as_bad(other, rung) if self._is_alike(other, trial) else None
            if bad and bad.distance <= self._radius and (nearest is None or bad.distance < nearest.distance):
                nearest = bad
        return nearest

    @staticmethod
    def _is_alike(other: FrozenTrial, trial: FrozenTrial) -> bool:
        if other.number == trial.number or records.gave_way(other):
            return False
        return records.architecture(other) == records.architecture(trial)

    def _as_bad(self, other: FrozenTrial, rung: int) -> BadNeighbour | None:
        score = records.metric(other, self._metric)
        learning_rate = records.learning_rate(other)
        if score is None or learning_rate is None:
            return None
        # A diverged trial records a metric of 0; NaN is as bad as that.
        if not math.isnan(score) and score >= self._threshold:
            return None
        return BadNeighbour(
            number=other.number,
            learning_rate=learning_rate,
            metric=self._metric,
            score=0.0 if math.isnan(score) else score,
            distance=abs(self._ladder.rung(learning_rate) - rung),
        )
