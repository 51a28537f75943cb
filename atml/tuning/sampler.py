"""The sampler of ATML's studies, which suggests points that may be the best of their size."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from atml.tuning.cost import expected_seconds
from atml.tuning.grid import FIXED_PARAMS, Grid, Point
from atml.tuning.standings import Mask, Standings
from atml.tuning.surrogate import Posterior

SIZES_TRIED = 4  # before any free point is accepted
DRAWS = 8  # per size
TAKEN = 4
LEADER_SHARE = 0.2  # of the suggestions finish a leader first, if it has folds left


class FrontSampler(RandomSampler):
    """Thompson sampling over the front of F-beta and size.

    For a random one of the requested sizes, it draws a value for every point from the surrogate's posterior
    and takes the best point that fits, unless that point is already closed or running. Of four points
    taken this way it suggests the one that trains fastest. A point that was trained on some folds and may
    still lead is suggested again, to be trained on another fold. Time is thus spent on points that may be
    on the front, and workers that sample at the same time get different points without coordination. One in
    five suggestions is the unfinished leader of a random size, so that every size has a finished model early.

    (Thompson, 1933; Russo et al., A Tutorial on Thompson Sampling, 2018. Redrawing when the best point is
    already known is top-two sampling: Russo, Simple Bayesian Algorithms for Best-Arm Identification,
    2020.)

    Args:
        grid: The study's points.
        sizes: Requested bytes.
        standings: Returns the standings of the points, given the study's trials.
        seed: Must differ between workers.
    """

    def __init__(
        self,
        grid: Grid,
        sizes: Sequence[int],
        *,
        standings: Callable[[Sequence[FrozenTrial]], Standings],
        seed: int | None = None,
    ) -> None:
        super().__init__(seed)  # draws parameters that are not the grid's
        self._grid = grid
        self._sizes = tuple(size for size in sizes if (grid.onnx_bytes <= size).any()) or (
            int(grid.onnx_bytes.max()),
        )
        self._standings = standings
        self._random = np.random.default_rng(seed)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002
        """Return the whole space, which is known from the start."""
        return self._grid.space()

    def sample_relative(
        self,
        study: Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],  # noqa: ARG002
    ) -> dict[str, Any]:
        """Return the parameters of the point to train next."""
        trials = study.get_trials(deepcopy=False)
        fixed = trial.system_attrs.get(FIXED_PARAMS, {})
        return self.suggest([one for one in trials if one.number != trial.number], fixed=fixed).params

    def suggest(self, trials: Sequence[FrozenTrial], *, fixed: Mapping[str, Any] | None = None) -> Point:
        """Return the point to train next, given the study's trials.

        Args:
            trials: The study's trials.
            fixed: Parameters of a queued trial, which may name some of a point's.
        """
        standings = self._standings(trials)
        free = ~(standings.closed | standings.running)
        if fixed:
            matching = np.array([fixed.items() <= point.params.items() for point in self._grid.points])
            free = free & matching if (free & matching).any() else free
        return self._grid.points[self._choose(standings, free, expected_seconds(self._grid, trials))]

    def _choose(self, standings: Standings, free: Mask, seconds: NDArray[np.float64]) -> int:
        """Return a free point or, if none is left, any point, which the objective will prune."""
        if not free.any():
            return int(self._random.integers(len(free)))
        if self._random.random() < LEADER_SHARE:
            leader = standings.leader(int(self._random.choice(self._sizes)))
            if leader is not None and free[leader]:
                return leader
        possible = _may_be_best(standings.posterior, [standings.within(size) for size in self._sizes])
        draws = standings.posterior.draw_of(possible, self._random, SIZES_TRIED * DRAWS)
        for of_one_size in draws.reshape(SIZES_TRIED, DRAWS, len(possible)):
            within = standings.within(int(self._random.choice(self._sizes)))[possible]
            best = possible[np.where(within, of_one_size, -np.inf).argmax(axis=1)]
            taken = best[free[best]][:TAKEN]
            if len(taken):
                return int(taken[seconds[taken].argmin()])
        left = _may_be_best(standings.posterior, [free])
        return int(left[standings.posterior.draw_of(left, self._random)[0].argmax()])


def _may_be_best(posterior: Posterior, groups: Iterable[Mask]) -> NDArray[np.int64]:
    """Return the points that may be drawn as the best of some group; drawing all takes much longer."""
    possible = np.zeros(len(posterior.mean), bool)
    for group in groups:
        leader = int(np.where(group, posterior.mean, -np.inf).argmax())
        possible |= group & posterior.may_beat(leader)
    return np.flatnonzero(possible)
