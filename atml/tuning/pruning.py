"""The pruners of ATML's studies: `atml.pruners`, adapted to ATML's trial records."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, TrialState

from atml.pruners import BadTrial, NeighbourhoodPruner, Place, SizeAwarePruner
from atml.tuning import records
from atml.tuning.grid import Grid, key_of
from atml.tuning.ladder import LearningRateLadder


class LearningRatePruner(NeighbourhoodPruner):
    """Rules out learning rates for networks of one architecture and about the same size.

    A trial counts once it has finished a fold or diverged. Two sizes are about the same if neither file
    is more than twice as large as the other.

    Args:
        wrapped: Pruner for trials that have begun to train.
        ladder: Ladder whose rungs measure the distance.
        radius: In rungs.
        threshold: A metric below it is bad; between 0 and 1.
        metric: `fbeta` or another recorded metric of the trial, such as `worst`, the smallest of F1,
            accuracy, precision and recall; all at the decision threshold that is best for the trial.
    """

    def __init__(
        self,
        wrapped: BasePruner | None,
        ladder: LearningRateLadder,
        *,
        radius: int,
        threshold: float,
        metric: str,
    ) -> None:
        super().__init__(wrapped, param=records.LEARNING_RATE, radius=radius, threshold=threshold)
        self._ladder = ladder
        self._rungs = max(radius, 0.5)  # a radius of 0 is the rung itself
        self._metric = metric

    def place(self, trial: FrozenTrial) -> Place | None:
        """Return a trial's architecture, rung and size."""
        key = key_of(trial.params)
        return None if key is None else self._place(*key)

    def score(self, trial: FrozenTrial) -> float | None:
        """Return the metric of a trial that has finished a fold or diverged."""
        shown = trial.state == TrialState.COMPLETE or records.estimate(trial) is not None
        return records.metric(trial, self._metric) if shown or records.diverged(trial) else None

    def has_begun(self, trial: FrozenTrial) -> bool:
        """Whether `trial` has been trained for an epoch."""
        return bool(records.curve(trial))

    def ruled_out(self, trials: Sequence[FrozenTrial], grid: Grid) -> NDArray[np.bool_]:
        """Return [points] which points of a grid the finished `trials` rule out."""
        bad = [one.place for one in self.bad_trials(trials)]
        if not bad:
            return np.zeros(len(grid.points), bool)
        places = (self._place(*point.key) for point in grid.points)
        return np.array([any(one.is_near(place) for one in bad) for place in places], bool)

    def in_words(self, bad: BadTrial) -> str:
        """Describe `bad` and its metric."""
        name, size, rate = key_of(bad.trial.params) or ("", 0, 0.0)
        where = f"{name}, {size} bytes, learning rate {rate:g}"
        return f"trial {bad.trial.number} ({where}) had {self._metric} {bad.score:.3f}"

    def _place(self, architecture: str, onnx_bytes: int, learning_rate: float) -> Place:
        rung = self._ladder.rung(learning_rate) / self._rungs
        return Place(group=architecture, coordinates=(rung, math.log2(onnx_bytes)))


class FirstFoldPruner(SizeAwarePruner):
    """Compares trials by F-beta in the epochs of the first fold; on other folds the race decides."""

    def curve(self, trial: FrozenTrial) -> dict[int, float]:
        """Return F-beta by epoch of the first fold."""
        first = [point.fbeta for point in records.curve(trial) if point.fold == 0]
        return dict(enumerate(first))
