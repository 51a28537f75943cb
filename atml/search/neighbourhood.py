"""Neighbourhood pruning: what did badly once, and what lies beside it, is not tried again."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from optuna.pruners import BasePruner
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from atml.search import records
from atml.search.grid import Grid
from atml.search.ladder import LearningRateLadder

# Files up to twice or half as large are of about the same width.
ALIKE_DOUBLINGS = 1.0


@dataclass(frozen=True, kw_only=True)
class BadTrial:
    """A finished trial that rules its neighbours out."""

    number: int
    architecture: str
    onnx_bytes: int | None  # None: all sizes are alike
    learning_rate: float
    metric: str
    score: float

    def __str__(self) -> str:
        size = "" if self.onnx_bytes is None else f"{self.onnx_bytes} bytes, "
        where = f"{self.architecture}, {size}learning rate {self.learning_rate:g}"
        return f"trial {self.number} ({where}) had {self.metric} {self.score:.3f}"


class NeighbourhoodPruner(BasePruner):
    """Prunes a trial untrained when its learning rate lies near one that did badly.

    A trial that was trained to the end of a fold, or diverged, and whose metric is below `threshold`
    marks its learning rate bad for networks *of its architecture and of about its size*. A new trial of such
    a network within `radius` rungs of it, both ends included, is pruned before its first epoch. Once a
    trial has reported an epoch, the question goes to the `wrapped` pruner.

    The verdict is worked out from the finished trials in the storage at every call, so all workers
    and every resumed run see the same ones, and none can be lost.

    Args:
        wrapped: Pruner for trials that have begun to train.
        ladder: Rungs in which the distance is counted.
        radius: Largest distance, in rungs, at which a bad trial still rules out another.
        threshold: A metric below it is bad; between 0 and 1.
        metric: `fbeta`, or any other name under the trial's recorded metrics, such as `worst`, the smallest
            of F1, accuracy, precision and recall; all at the threshold that suits the trial's scores best.
    """

    def __init__(
        self,
        wrapped: BasePruner,
        ladder: LearningRateLadder,
        *,
        radius: int = 1,
        threshold: float = 0.6,
        metric: str = "fbeta",
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
            return self.bad_neighbour(study.get_trials(deepcopy=False), trial) is not None
        return self._wrapped.prune(study, trial)

    def bad_neighbour(self, trials: Sequence[FrozenTrial], trial: FrozenTrial) -> BadTrial | None:
        """Return the first of the finished `trials` that rules `trial` out, if there is one."""
        learning_rate = records.learning_rate(trial)
        if learning_rate is None:
            return None
        name, size = records.architecture(trial), _size(trial)
        for bad in self._bad(trials):
            if bad.number != trial.number and self._is_near(bad, name, size, learning_rate):
                return bad
        return None

    def ruled_out(self, trials: Sequence[FrozenTrial], grid: Grid) -> NDArray[np.bool_]:
        """Return [points] which of a grid's points the finished `trials` rule out."""
        bad_trials = self._bad(trials)
        return np.array(
            [any(self._is_near(bad, *point.key) for bad in bad_trials) for point in grid.points], bool
        )

    def _bad(self, trials: Sequence[FrozenTrial]) -> list[BadTrial]:
        found = (self._as_bad(trial) for trial in trials if trial.state in _FINISHED)
        return [bad for bad in found if bad is not None]

    def _as_bad(self, trial: FrozenTrial) -> BadTrial | None:
        # A trial that was cut short within its first fold has shown nothing yet.
        shown = trial.state == TrialState.COMPLETE or records.estimate(trial) is not None
        if not shown and not records.diverged(trial):
            return None
        score = records.metric(trial, self._metric)
        learning_rate = records.learning_rate(trial)
        if score is None or learning_rate is None:
            return None
        # A diverged trial records a metric of 0; NaN is as bad as that.
        if not math.isnan(score) and score >= self._threshold:
            return None
        return BadTrial(
            number=trial.number,
            architecture=records.architecture(trial),
            onnx_bytes=_size(trial),
            learning_rate=learning_rate,
            metric=self._metric,
            score=0.0 if math.isnan(score) else score,
        )

    def _is_near(
        self, bad: BadTrial, architecture: str, onnx_bytes: int | None, learning_rate: float
    ) -> bool:
        return (
            bad.architecture == architecture
            and _doublings_between(bad.onnx_bytes, onnx_bytes) <= ALIKE_DOUBLINGS
            and abs(self._ladder.rung(bad.learning_rate) - self._ladder.rung(learning_rate)) <= self._radius
        )


def _size(trial: FrozenTrial) -> int | None:
    """Return the bytes of a trial's model; None in a study that does not record them."""
    value = trial.user_attrs.get(records.ONNX_BYTES)
    return None if value is None else int(value)


def _doublings_between(one: int | None, other: int | None) -> float:
    return abs(math.log2(one / other)) if one and other else 0.0


_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
