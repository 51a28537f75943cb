"""Ranking of the models that finished the race, and which of them are tied."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from optuna.trial import FrozenTrial, TrialState

from atml.evaluation import Estimate
from atml.tuning import records
from atml.tuning.records import PrunedBy
from atml.tuning.spec import TargetsSpec

# All models share the folds, so two are compared fold by fold: the difficulty of a fold cancels out.
TIED_STANDARD_ERRORS = 1.0

_ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A trial with the estimate by which it is ranked."""

    trial: FrozenTrial
    onnx_bytes: int
    estimate: Estimate

    @property
    def fbeta(self) -> float:
        """The mean over its folds."""
        return self.estimate.fbeta


def contenders(trials: Sequence[FrozenTrial]) -> list[Contender]:
    """Return the trials that finished the race; while there are none, those that got furthest.

    A trial that diverged or ended with an error on a later fold yields no model.
    """
    known = [(trial, records.estimate(trial)) for trial in trials if _makes_a_model(trial)]
    found = [
        Contender(trial=trial, onnx_bytes=records.onnx_bytes(trial), estimate=estimate)
        for trial, estimate in known
        if estimate is not None
    ]
    finished = [one for one in found if one.trial.state == TrialState.COMPLETE]
    furthest = max((one.estimate.folds for one in found), default=0)
    return finished or [one for one in found if one.estimate.folds == furthest]


def _makes_a_model(trial: FrozenTrial) -> bool:
    broken = trial.user_attrs.get(records.PRUNED_BY) in (PrunedBy.DIVERGED, PrunedBy.ERROR)
    return trial.state in _ENDED and not broken


def rank(among: Sequence[Contender], targets: TargetsSpec) -> list[Contender]:
    """Return the contenders, best first.

    Those that meet both targets come first, the smallest of them leading; the others are ordered by how
    far they miss the targets. Without an F-beta target the best that is small enough leads, unless a
    smaller one is tied with it.
    """
    if targets.fbeta is not None:
        return sorted(among, key=lambda one: (_shortfall(one, targets), one.onnx_bytes, -one.fbeta))
    ranked = sorted(among, key=lambda one: (_oversize(one, targets), -one.fbeta, one.onnx_bytes))
    if not ranked:
        return []
    fitting = [one for one in ranked if _oversize(one, targets) == 0]
    winner = min(
        (ranked[0], *(one for one in fitting if tied(one, ranked[0]))), key=lambda one: one.onnx_bytes
    )
    return [winner, *(one for one in ranked if one is not winner)]


def leaders(
    among: Sequence[Contender], targets: TargetsSpec, sizes: Sequence[int], count: int
) -> list[Contender]:
    """Return the first `count` by the targets and the best `count` within each of `sizes`, each once."""
    found = rank(among, targets)[:count]
    for size in sizes:
        fitting = sorted((one for one in among if one.onnx_bytes <= size), key=lambda one: -one.fbeta)
        found += [one for one in fitting[:count] if one not in found]
    return found


def tied(one: Contender, other: Contender) -> bool:
    """Whether two differ by no more than a standard error of their difference over the folds."""
    pairs = zip(one.estimate.by_fold, other.estimate.by_fold, strict=False)
    differences = [a - b for a, b in pairs]
    if len(differences) < 2:
        return False
    error = stdev(differences) / math.sqrt(len(differences) / one.estimate.partitions)
    return abs(fmean(differences)) <= TIED_STANDARD_ERRORS * error


def front(among: Sequence[Contender]) -> list[Contender]:
    """Return those that no other beats in both F-beta and size, smallest first."""
    kept: list[Contender] = []
    for one in sorted(among, key=lambda one: (one.onnx_bytes, -one.fbeta)):
        if not kept or one.fbeta > kept[-1].fbeta:
            kept.append(one)
    return kept


def best_within(among: Sequence[Contender], onnx_bytes: float) -> Contender | None:
    """Return the best one that is no larger than `onnx_bytes`, if there is one."""
    fitting = [one for one in among if one.onnx_bytes <= onnx_bytes]
    return max(fitting, key=lambda one: (one.fbeta, -one.onnx_bytes), default=None)


def _oversize(one: Contender, targets: TargetsSpec) -> float:
    return max(0.0, one.onnx_bytes / targets.onnx_bytes - 1) if targets.onnx_bytes else 0.0


def _shortfall(one: Contender, targets: TargetsSpec) -> float:
    wanted = targets.fbeta or 0.0
    short = max(0.0, (wanted - one.fbeta) / wanted) if wanted else 0.0
    return short + _oversize(one, targets)
