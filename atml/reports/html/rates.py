"""The learning-rate neighbourhoods of a study: what became of each point of its grid."""

from collections.abc import Sequence

from optuna.trial import FrozenTrial, TrialState

from atml.reports.html.contents import PointState, RatePoint
from atml.service.stored import StoredStudy
from atml.tuning import records
from atml.tuning.grid import Key, Point, point_of
from atml.tuning.phases import Phase
from atml.tuning.records import PrunedBy


def rate_points(stored: StoredStudy, trials: Sequence[FrozenTrial]) -> dict[str, tuple[RatePoint, ...]]:
    """Return the points of each architecture.

    A point is `bad` if a trial on it was bad by the neighbourhood rule, diverged or ended with an error;
    `good` if one finished all folds; `tried` if one was trained; `ruled out` if a bad neighbour does so; else
    `open`.
    """
    grid, pruner = stored.grid, stored.phase.pruner()
    bad = {point_of(one.trial) for one in pruner.bad_trials(trials)}
    bad |= {point_of(trial) for trial in trials if _is_broken(trial)}
    ruled_out = pruner.ruled_out(trials, grid)
    of_point: dict[Key, list[FrozenTrial]] = {}
    for trial in trials:
        key = point_of(trial)
        if key is not None:
            of_point.setdefault(key, []).append(trial)
    found: dict[str, list[RatePoint]] = {name: [] for name in grid.architectures}
    for point, is_out in zip(grid.points, ruled_out.tolist(), strict=True):
        own = of_point.get(point.key, [])
        found[point.candidate.architecture].append(_point(point, own, point.key in bad, is_out))
    return {name: tuple(points) for name, points in found.items()}


def rule_in_words(phase: Phase) -> str:
    """Return what makes a learning rate bad, and what that rules out."""
    rule = phase.pruning.neighbourhood
    name = f"F{phase.beta:g}" if rule.metric == "fbeta" else rule.metric
    what = "the smallest of F1, accuracy, precision and recall" if rule.metric == "worst" else name
    return (
        f"A learning rate is bad if {what} is below {rule.threshold:g}. It rules out learning rates up to "
        f"{rule.radius} steps away, for the same architecture at half to twice the size."
    )


def _is_broken(trial: FrozenTrial) -> bool:
    return trial.user_attrs.get(records.PRUNED_BY) in (PrunedBy.DIVERGED, PrunedBy.ERROR)


def _point(point: Point, trials: Sequence[FrozenTrial], is_bad: bool, is_ruled_out: bool) -> RatePoint:
    trained = [trial for trial in trials if records.was_trained(trial)]
    return RatePoint(
        onnx_bytes=point.candidate.onnx_bytes,
        learning_rate=point.learning_rate,
        state=_state(trained, is_bad, is_ruled_out),
        fbeta=records.fbeta(trained[-1]) if trained else None,  # the last one has the folds of all
    )


def _state(trained: Sequence[FrozenTrial], is_bad: bool, is_ruled_out: bool) -> PointState:
    if is_bad:
        return "bad"
    if any(trial.state == TrialState.COMPLETE for trial in trained):
        return "good"
    if trained:
        return "tried"
    return "ruled out" if is_ruled_out else "open"
