"""The standings of a study's points: their results, and what those imply for the others."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState

from atml.tuning import records
from atml.tuning.grid import Grid, point_of
from atml.tuning.surrogate import Posterior, Surrogate

Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Standings:
    """A study's points at one moment.

    `by_fold` [points, folds] is F-beta where a fold was trained, else NaN. A point is `closed` if it will
    not be trained again: it has all folds, or a rule ended it permanently or keeps it from training.
    It is `running` if a running or queued trial has it, and `finished` if all folds were trained and none
    diverged.
    """

    grid: Grid
    by_fold: NDArray[np.float64]
    closed: Mask
    running: Mask
    finished: Mask

    @classmethod
    def of(
        cls, grid: Grid, folds: int, trials: Iterable[FrozenTrial], *, ruled_out: Mask | None = None
    ) -> "Standings":
        """Read the trials of a study; `ruled_out` [points] marks points that no trial may try."""
        size = len(grid.points)
        by_fold = np.full((size, folds), np.nan)
        closed = np.zeros(size, bool) if ruled_out is None else ruled_out.copy()
        running, diverged = np.zeros(size, bool), np.zeros(size, bool)
        for trial in trials:
            key = point_of(trial)
            if key is None or key not in grid.index:
                continue
            at = grid.index[key]
            known = records.estimate(trial)
            if known is not None:
                by_fold[at, : known.folds] = known.by_fold
            if records.diverged(trial):
                by_fold[at, min(known.folds if known else 0, folds - 1)] = 0.0
                diverged[at] = True
            running[at] |= trial.state in (TrialState.RUNNING, TrialState.WAITING)
            closed[at] |= _is_closed(trial)
        finished = ~np.isnan(by_fold).any(axis=1) & ~diverged
        return cls(grid=grid, by_fold=by_fold, closed=closed, running=running, finished=finished)

    @cached_property
    def posterior(self) -> Posterior:
        """The posterior of every point, given all folds so far."""
        point, fold = np.nonzero(~np.isnan(self.by_fold))
        surrogate = surrogate_of(self.grid, self.by_fold.shape[1])
        return surrogate.posterior(point, fold, self.by_fold[point, fold])

    @property
    def observed(self) -> Mask:
        """[points] whether at least one fold was trained."""
        return ~np.isnan(self.by_fold[:, 0])

    def within(self, limit: float) -> Mask:
        """[points] whether the network is no larger than `limit` bytes."""
        return self.grid.onnx_bytes <= limit

    def leader(self, limit: float) -> int | None:
        """Return the tried point within `limit` bytes that is expected to be the best, if there is one.

        Points that a rule ended permanently before they finished do not count.
        """
        tried = np.flatnonzero(self.observed & self.within(limit) & (self.finished | ~self.closed))
        return int(tried[self.posterior.mean[tried].argmax()]) if len(tried) else None


def _is_closed(trial: FrozenTrial) -> bool:
    if trial.state == TrialState.COMPLETE:
        return True
    return trial.state == TrialState.PRUNED and not records.released_point(trial)


@lru_cache(maxsize=8)
def surrogate_of(grid: Grid, folds: int) -> Surrogate:
    """Return the surrogate of a grid."""
    names: Sequence[str] = grid.architectures
    return Surrogate(
        np.array([names.index(point.candidate.architecture) for point in grid.points], np.int64),
        grid.onnx_bytes,
        np.array([point.learning_rate for point in grid.points]),
        folds=folds,
    )
