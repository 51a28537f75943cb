"""A sampler that never asks for the same point twice."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from atml.search import records
from atml.search.ladder import LearningRateLadder

POINT = "atml:point"
DRAWS = 64
LARGEST_GRID = 200_000

Point = tuple[tuple[str, Any], ...]


class DistinctSampler(BaseSampler):
    """Wraps a sampler so that it stays on the grid and avoids points already taken.

    On a small grid a third to a half of TPE's suggestions repeat a finished or running trial. Each
    would cost a full training and teach nothing, since training is deterministic. Here the wrapped
    sampler is asked again until it names a free point; if it keeps to taken ones, a free point is
    drawn at random. Learning rates are moved to the nearest rung of the ladder.

    Args:
        wrapped: Sampler that draws the points; it must accept a relative search space (TPE does).
        space: Every parameter of the study with its distribution.
        ladder: Rungs of the parameter `learning_rate`, if the study searches it.
        seed: Seed of the random draws; give each worker its own.
    """

    def __init__(
        self,
        wrapped: BaseSampler,
        space: Mapping[str, BaseDistribution],
        *,
        ladder: LearningRateLadder | None = None,
        seed: int | None = None,
    ) -> None:
        self._wrapped = wrapped
        self._space = dict(space)
        self._ladder = ladder
        self._rng = np.random.default_rng(seed)
        self._finished: dict[int, Point | None] = {}

    def reseed_rng(self) -> None:
        """Draw differently from now on."""
        self._rng = np.random.default_rng()
        self._wrapped.reseed_rng()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002
        """Return the whole space: it is known from the start."""
        return {name: space for name, space in self._space.items() if not space.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return a point that no finished, running or waiting trial has."""
        # Read within this ask, and kept until its end for the wrapped sampler, which would read it again.
        trials = study._get_trials(deepcopy=False, use_cache=True)
        taken = self._taken_points(trials, search_space, besides=trial.number)
        params = self._draw_free(study, trial, search_space, taken)
        # Published at once: the parameters themselves reach the storage only one by one.
        study._storage.set_trial_system_attr(trial._trial_id, POINT, params)
        return params

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Sample a parameter outside the known space (none, in ATML's phases)."""
        value = self._wrapped.sample_independent(study, trial, param_name, param_distribution)
        return self._snap({param_name: value})[param_name]

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Pass on to the wrapped sampler."""
        self._wrapped.before_trial(study, trial)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Pass on to the wrapped sampler."""
        self._wrapped.after_trial(study, trial, state, values)

    def _taken_points(
        self, trials: Sequence[FrozenTrial], names: Mapping[str, Any], *, besides: int
    ) -> set[Point]:
        """Return what `taken_points` does, but look at a finished trial once: it does not change any more."""
        current = [trial for trial in trials if trial._trial_id not in self._finished]
        for trial in current:
            if trial.state.is_finished():
                self._finished[trial._trial_id] = _held_point(trial, names)
        return taken_points(current, names, besides=besides) | {
            point for point in self._finished.values() if point is not None
        }

    def _draw_free(
        self, study: Study, trial: FrozenTrial, space: dict[str, BaseDistribution], taken: set[Point]
    ) -> dict[str, Any]:
        params: dict[str, Any] = {}
        for _ in range(DRAWS):
            params = self._snap(self._wrapped.sample_relative(study, trial, space) or self._at_random(space))
            if as_point(params) not in taken:
                return params
        free = [point for point in grid(space, self._ladder) if point not in taken]
        if not free:
            return params
        return dict(free[int(self._rng.integers(len(free)))])

    def _at_random(self, space: dict[str, BaseDistribution]) -> dict[str, Any]:
        return {name: self._one_at_random(distribution) for name, distribution in space.items()}

    def _one_at_random(self, distribution: BaseDistribution) -> Any:
        match distribution:
            case CategoricalDistribution():
                return distribution.choices[int(self._rng.integers(len(distribution.choices)))]
            case IntDistribution():
                steps = (distribution.high - distribution.low) // distribution.step
                return distribution.low + distribution.step * int(self._rng.integers(steps + 1))
            case FloatDistribution(log=True):
                return math.exp(self._rng.uniform(math.log(distribution.low), math.log(distribution.high)))
            case FloatDistribution():
                return float(self._rng.uniform(distribution.low, distribution.high))
        raise NotImplementedError(f"no random draw for {distribution}")

    def _snap(self, params: dict[str, Any]) -> dict[str, Any]:
        if self._ladder is None or records.LEARNING_RATE not in params:
            return params
        return {**params, records.LEARNING_RATE: self._ladder.snap(params[records.LEARNING_RATE])}


def as_point(params: Mapping[str, Any]) -> Point:
    """Return parameters in a form that can be compared and kept in a set."""
    return tuple(sorted(params.items()))


def taken_points(trials: Sequence[FrozenTrial], names: Mapping[str, Any], *, besides: int) -> set[Point]:
    """Return the points of all trials but number `besides` that are finished, running or waiting.

    A failed trial holds no point: what an interruption or a crash cut short may be tried again. Nor
    does one that gave its point up: a duplicate, one over the budget, or one cut short by the study's end.
    """
    points = {_held_point(trial, names) for trial in trials if trial.number != besides}
    return {point for point in points if point is not None}


def _held_point(trial: FrozenTrial, names: Mapping[str, Any]) -> Point | None:
    """Return the point that a trial keeps others from, if it keeps one."""
    if trial.state == TrialState.FAIL or records.gave_way(trial):
        return None
    params = {
        **trial.system_attrs.get(POINT, {}),
        **trial.system_attrs.get("fixed_params", {}),
        **trial.params,
    }
    return as_point({name: params[name] for name in names if name in params})


def grid(space: Mapping[str, BaseDistribution], ladder: LearningRateLadder | None) -> list[Point]:
    """Return every point of a finite space; none if a parameter is continuous or it is too large."""
    if not _grid_size(space, ladder):
        return []
    axes = [
        [(name, value) for value in _axis(name, distribution, ladder) or ()]
        for name, distribution in sorted(space.items())
    ]
    return list(itertools.product(*axes))


def _grid_size(space: Mapping[str, BaseDistribution], ladder: LearningRateLadder | None) -> int:
    """Return how many points a space has; 0 if a parameter is continuous or there are too many to list."""
    axes = [_axis(name, distribution, ladder) for name, distribution in space.items()]
    points = math.prod(len(axis or ()) for axis in axes)
    return points if points <= LARGEST_GRID else 0


def _axis(name: str, distribution: BaseDistribution, ladder: LearningRateLadder | None) -> list[Any] | None:
    if name == records.LEARNING_RATE and ladder is not None:
        return list(ladder.values)
    match distribution:
        case CategoricalDistribution():
            return list(distribution.choices)
        case IntDistribution():
            return list(range(distribution.low, distribution.high + 1, distribution.step))
    return None


def is_exhausted(
    trials: Sequence[FrozenTrial], space: Mapping[str, BaseDistribution], ladder: LearningRateLadder | None
) -> bool:
    """Whether every point of a finite space is taken."""
    searched = {name: distribution for name, distribution in space.items() if not distribution.single()}
    points = _grid_size(searched, ladder)
    if not 0 < points <= len(trials):
        return False
    return points <= len(taken_points(trials, searched, besides=-1))
