"""What ATML writes on a trial, and how to read it back: the one place that knows the names.

Optuna keeps parameters, values and state. Everything else that a report, another worker or a
resumed run needs stands in user attributes under the names below.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from optuna.trial import FrozenTrial, Trial, TrialState

from atml.evaluation import Estimate, FoldCounts, Metrics

# Parameters. The first two name a candidate.
ARCHITECTURE = "architecture"
ONNX_BYTES = "onnx_bytes"
LEARNING_RATE = "learning_rate"
# Attributes of the trial, of which each costs a transaction.
WORKER = "worker"
NETWORK = "network"  # config and number of parameters
CURVE = "curve"
RESULT = "result"  # estimate, metrics, and how each subject was called that a fold held out
PRUNED_BY = "pruned_by"
PRUNED_BECAUSE = "pruned_because"
RETRY_OF = "retry_of"
DEATHS = "deaths"  # of workers, in a row, none of which got an epoch further
REACHED = "reached"  # by earlier tries: folds finished, and epochs of the next
# Attribute of the study: that it is ATML's, and complete.
SPEC = "spec"

RECORDED_METRICS = (
    "fbeta",
    "f1",
    "accuracy",
    "precision",
    "recall",
    "specificity",
    "subject_mean_fbeta",
    "g",
    "worst",
)
# Those that are also attributes of their own: optuna-dashboard shows each as a column to sort by.
COLUMNS = ("f1", "precision", "recall", "specificity", "worst")


class PrunedBy(StrEnum):
    """Who ended a trial early; the first three did so before its first epoch.

    ERROR is an error that would happen again, with its text as the reason.
    """

    BUDGET = "budget"
    DUPLICATE = "duplicate"
    NEIGHBOURHOOD = "neighbourhood"
    PRUNER = "pruner"
    RACE = "race"
    DIVERGED = "diverged"
    STOPPED = "stopped"
    ERROR = "error"


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """One epoch of a trial, as the learning curve and the pruners see it."""

    fold: int
    train_loss: float
    valid_loss: float  # of a part of the fold's held-out segments, as is F-beta
    fbeta: float
    seconds: float  # training and validation

    def to_list(self) -> list[float]:
        """Return the point as JSON: [fold, train_loss, valid_loss, fbeta, seconds]."""
        figures = (self.train_loss, self.valid_loss, self.fbeta, self.seconds)
        return [self.fold, *(round(value, 6) for value in figures)]

    @classmethod
    def from_list(cls, values: Sequence[float]) -> Self:
        """Return the point that `to_list` wrote."""
        fold, train_loss, valid_loss, fbeta, seconds = values
        return cls(fold=int(fold), train_loss=train_loss, valid_loss=valid_loss, fbeta=fbeta, seconds=seconds)


def result_record(
    estimate: Estimate, metrics: Metrics | None = None, folds: Mapping[int, FoldCounts] | None = None
) -> dict[str, Any]:
    """Return what the folds so far have shown, as JSON."""
    figures = {} if metrics is None else {name: getattr(metrics, name) for name in RECORDED_METRICS}
    return {
        "fbeta": _rounded(estimate.fbeta),
        "standard_error": _rounded(estimate.standard_error),
        "threshold": estimate.threshold,
        "by_fold": [_rounded(value) for value in estimate.by_fold],
        "metrics": {name: _rounded(value) for name, value in figures.items()},
        "counts": {str(fold): counts.to_dict() for fold, counts in (folds or {}).items()},
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def write_columns(trial: Trial) -> None:
    """Give `trial` an attribute for each of `COLUMNS`."""
    for name, value in metrics(trial).items():
        if name in COLUMNS and value is not None:
            trial.set_user_attr(name, value)


def curve(trial: FrozenTrial | Trial) -> list[CurvePoint]:
    """Return the epochs that `trial` was trained for, oldest first; none if it never trained."""
    return [CurvePoint.from_list(point) for point in trial.user_attrs.get(CURVE, [])]


def folds(trial: FrozenTrial | Trial) -> dict[int, FoldCounts]:
    """Return what every fold that `trial` knows of has shown, whichever trial at its point trained it."""
    kept: Mapping[str, Any] = trial.user_attrs.get(RESULT, {}).get("counts", {})
    return {int(fold): FoldCounts.from_dict(values) for fold, values in kept.items()}


def estimate(trial: FrozenTrial | Trial) -> Estimate | None:
    """Return F-beta on unseen subjects as far as it is known; None before the first fold ends."""
    values = trial.user_attrs.get(RESULT)
    if values is None:
        return None
    return Estimate(
        fbeta=values["fbeta"],
        standard_error=values["standard_error"],
        threshold=values["threshold"],
        by_fold=tuple(values["by_fold"]),
    )


def first_number(trial: FrozenTrial | Trial) -> int:
    """Number of the trial that this one retries; its own if it is the first to try."""
    return int(trial.user_attrs.get(RETRY_OF, trial.number))


def training_seconds(trial: FrozenTrial) -> float:
    """Time that `trial` spent in its epochs, without what surrounds them."""
    return sum(point.seconds for point in curve(trial))


def was_trained(trial: FrozenTrial) -> bool:
    """Whether `trial` finished after it began to train: only such trials count in a budget.

    One that diverged within its first epoch has no epoch to show but did train.
    """
    if trial.state == TrialState.COMPLETE:
        return True
    began = bool(trial.user_attrs.get(CURVE)) or trial.user_attrs.get(PRUNED_BY) == PrunedBy.DIVERGED
    return trial.state == TrialState.PRUNED and began


def diverged(trial: FrozenTrial | Trial) -> bool:
    """Whether the loss of `trial` became infinite or not a number."""
    return trial.user_attrs.get(PRUNED_BY) == PrunedBy.DIVERGED


def trained(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that count in a budget, in their order."""
    return [trial for trial in trials if was_trained(trial)]


def released_point(trial: FrozenTrial) -> bool:
    """Whether `trial` ended without a verdict on its point, which others may try.

    It was a duplicate itself, over the budget, cut short when the study was over, or fell behind others
    that may yet turn out worse on further folds.
    """
    return trial.user_attrs.get(PRUNED_BY) in (
        PrunedBy.DUPLICATE,
        PrunedBy.BUDGET,
        PrunedBy.STOPPED,
        PrunedBy.RACE,
    )


def completed(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that ran to their end and have values."""
    return [trial for trial in trials if trial.state == TrialState.COMPLETE]


def fbeta(trial: FrozenTrial) -> float:
    """F-beta on unseen subjects: the mean over the folds so far, before the first one ends the last
    epoch's; 0 if the trial was never trained."""
    known = estimate(trial)
    if known is not None:
        return known.fbeta
    points = curve(trial)
    return points[-1].fbeta if points else 0.0


def metrics(trial: FrozenTrial | Trial) -> dict[str, float | None]:
    """Return the recorded validation metrics; none before the first fold ends."""
    found: dict[str, float | None] = trial.user_attrs.get(RESULT, {}).get("metrics", {})
    return found


def metric(trial: FrozenTrial | Trial, name: str) -> float | None:
    """Return one of the recorded validation metrics, if it is there; 0 for a trial that diverged."""
    return 0.0 if diverged(trial) else metrics(trial).get(name)


def onnx_bytes(trial: FrozenTrial) -> int:
    """Size of the ONNX file that this trial's configuration makes.

    Raises:
        KeyError: the trial ended before its size was known.
    """
    return int(trial.params[ONNX_BYTES])


def config(trial: FrozenTrial) -> dict[str, Any] | None:
    """Widths and other settings of the network, once they are known."""
    values: dict[str, Any] | None = trial.user_attrs.get(NETWORK, {}).get("config")
    return values


def parameters(trial: FrozenTrial) -> int | None:
    """Number of weights of the network, once it is known."""
    count: int | None = trial.user_attrs.get(NETWORK, {}).get("parameters")
    return count


def architecture(trial: FrozenTrial) -> str:
    """Name of the architecture."""
    return str(trial.params.get(ARCHITECTURE, ""))


def learning_rate(trial: FrozenTrial) -> float | None:
    """Learning rate; None before it is known."""
    return trial.params.get(LEARNING_RATE)
