"""Neighbourhood pruning: parameters near those of a bad trial are not tried."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from optuna.distributions import FloatDistribution, IntDistribution
from optuna.pruners import BasePruner, NopPruner
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from atml.pruners.reports import reported, sign_of

ROUNDING = 1e-9  # so that a neighbour exactly at the radius still counts


@dataclass(frozen=True, kw_only=True)
class Place:
    """The position of a trial.

    Two places are near each other if their groups are equal and no coordinate differs by more than 1.
    """

    group: Hashable
    coordinates: tuple[float, ...]  # in units of the radius

    def is_near(self, other: "Place") -> bool:
        """Whether `other` is in the neighbourhood of this place."""
        return self.group == other.group and all(
            abs(a - b) <= 1 + ROUNDING for a, b in zip(self.coordinates, other.coordinates, strict=True)
        )


@dataclass(frozen=True, kw_only=True)
class BadTrial:
    """A finished trial that rules out its neighbours."""

    trial: FrozenTrial
    place: Place
    score: float


class NeighbourhoodPruner(BasePruner):
    """Prunes a trial before training if one of its parameters is near that of a bad trial.

    A trial that ended with a value worse than `threshold` is bad. A new trial whose `param` is within
    `radius` of a bad one (inclusive) is pruned before its first step, if both have the same values for the
    parameters named in `same`. Once a trial has reported a step, the `wrapped` pruner decides. The value and
    its direction are those of the study's first objective.

    The decision is computed from the study's finished trials at every call, so all workers and resumed
    runs agree. A subclass may override `place` and `score`.

    Example::

        pruner = NeighbourhoodPruner(param="learning_rate", same=("architecture",), threshold=0.6)
        study = optuna.create_study(direction="maximize", pruner=pruner)

        def objective(trial):
            name = trial.suggest_categorical("architecture", ["small", "large"])
            rate = trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True)
            if should_prune(trial):  # before anything is trained
                raise optuna.TrialPruned
            ...

    Args:
        wrapped: Pruner for trials that have begun; none by default. In a study with several objectives it
            must read values with `atml.pruners.reported`, as `SizeAwarePruner` does; Optuna's own pruners see
            none there.
        param: Parameter that defines the distance, with a float or int distribution.
        same: Parameters whose values must be equal. A trial that lacks one has no neighbours.
        radius: Largest distance at which a bad trial rules out another, as a fraction of the
            distribution's range, on a logarithmic scale for a log distribution. Trials whose ranges differ
            are not near each other.
        threshold: A value worse than it is bad.

    Raises ValueError for a negative radius and a threshold that is not a number.
    """

    def __init__(
        self,
        wrapped: BasePruner | None = None,
        *,
        param: str = "learning_rate",
        same: Sequence[str] = (),
        radius: float = 0.1,
        threshold: float,
    ) -> None:
        if not radius >= 0:
            raise ValueError(f"`radius` must be 0 or more but got {radius}.")
        if math.isnan(threshold):
            raise ValueError("`threshold` must be a number but got nan.")
        self._wrapped = wrapped or NopPruner()
        self._param = param
        self._same = (same,) if isinstance(same, str) else tuple(same)
        self._radius = radius
        self._threshold = threshold

    def place(self, trial: FrozenTrial) -> Place | None:
        """Return the place of `trial`; None if it lacks a parameter and so has no neighbours."""
        if not {self._param, *self._same} <= trial.params.keys():
            return None
        share, scale = _share_of_range(trial, self._param)
        unit = share / self._radius if self._radius else share / ROUNDING
        same = tuple(trial.params[name] for name in self._same)
        return Place(group=(*same, scale), coordinates=(unit,))

    def score(self, trial: FrozenTrial) -> float | None:
        """Return the value by which a finished `trial` is judged; None if it does not count."""
        return trial.values[0] if trial.state == TrialState.COMPLETE and trial.values else None

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether to prune `trial`: by its neighbours before the first step, then by the wrapped pruner."""
        if not self.has_begun(trial):
            trials = study.get_trials(deepcopy=False)
            return self.bad_neighbour(trials, trial, sign=sign_of(study)) is not None
        return self._wrapped.prune(study, trial)

    def has_begun(self, trial: FrozenTrial) -> bool:
        """Whether `trial` has reported a step."""
        return bool(reported(trial))

    def bad_neighbour(
        self, trials: Sequence[FrozenTrial], trial: FrozenTrial, *, sign: int = 1
    ) -> BadTrial | None:
        """Return the first of `trials` that rules `trial` out, if there is one; `sign` as in `bad_trials`."""
        place = self.place(trial)
        if place is None:
            return None
        for bad in self.bad_trials(trials, sign=sign):
            if bad.trial.number != trial.number and bad.place.is_near(place):
                return bad
        return None

    def bad_trials(self, trials: Sequence[FrozenTrial], *, sign: int = 1) -> list[BadTrial]:
        """Return those of `trials` that have ended badly; `sign` is -1 if a lower score is better."""
        found = []
        for trial in trials:
            if trial.state not in (TrialState.COMPLETE, TrialState.PRUNED):
                continue
            score = self.score(trial)
            if score is None or sign * score >= sign * self._threshold:  # NaN is bad
                continue
            place = self.place(trial)
            if place is not None:
                found.append(BadTrial(trial=trial, place=place, score=score))
        return found


def _share_of_range(trial: FrozenTrial, param: str) -> tuple[float, Hashable]:
    """Return the relative position of a parameter within its distribution, from 0 to 1, and the range."""
    distribution = trial.distributions[param]
    if not isinstance(distribution, FloatDistribution | IntDistribution):
        raise TypeError(f"`param` must be drawn from floats or ints, but {param} is {distribution}.")
    value, low, high = float(trial.params[param]), float(distribution.low), float(distribution.high)
    scale = (low, high, distribution.log)
    if low == high:
        return 0.0, scale
    if distribution.log:
        return math.log(value / low) / math.log(high / low), scale
    return (value - low) / (high - low), scale
