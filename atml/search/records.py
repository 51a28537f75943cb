"""What ATML writes on a trial, and how to read it back: the one place that knows the names.

Optuna keeps parameters, values and state. Everything else that a report, another worker or a
resumed run needs stands in user attributes under the names below.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from optuna.trial import FrozenTrial, Trial, TrialState

from atml.evaluation import Metrics

ARCHITECTURE = "architecture"
LEARNING_RATE = "learning_rate"
CONFIG = "config"
PARAMETERS = "parameters"
ONNX_BYTES = "onnx_bytes"
CURVE = "curve"
METRICS = "metrics"
WORKER = "worker"
PRUNED_BY = "pruned_by"
PRUNED_BECAUSE = "pruned_because"
RETRY_OF = "retry_of"
DEATHS = "deaths"  # of workers, in a row, none of which got an epoch further
REACHED = "reached"  # epochs that earlier tries have trained
SPEC = "spec"  # on the study: that it is ATML's, and complete

RECORDED_METRICS = (
    "fbeta",
    "f1",
    "accuracy",
    "precision",
    "recall",
    "specificity",
    "roc_auc",
    "subject_mean_fbeta",
    "g",
    "worst",
)


class PrunedBy(StrEnum):
    """Who ended a trial early; the first four did so before its first epoch.

    ERROR is an error that would happen again, with its text as the reason; such a trial has no metrics.
    """

    BUDGET = "budget"
    DUPLICATE = "duplicate"
    SIZE = "size"
    NEIGHBOURHOOD = "neighbourhood"
    PRUNER = "pruner"
    DIVERGED = "diverged"
    STOPPED = "stopped"
    ERROR = "error"


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """One epoch of a trial, as the learning curve and the pruners see it."""

    train_loss: float
    valid_loss: float
    fbeta: float
    seconds: float  # training and validation

    def to_list(self) -> list[float]:
        """Return the point as JSON: [train_loss, valid_loss, fbeta, seconds]."""
        return [round(value, 6) for value in (self.train_loss, self.valid_loss, self.fbeta, self.seconds)]

    @classmethod
    def from_list(cls, values: Sequence[float]) -> Self:
        """Return the point that `to_list` wrote."""
        train_loss, valid_loss, fbeta, seconds = values
        return cls(train_loss=train_loss, valid_loss=valid_loss, fbeta=fbeta, seconds=seconds)


def metrics_record(metrics: Metrics) -> dict[str, float | None]:
    """Return the figures of a trial's best epoch that are kept with it."""
    values = {name: getattr(metrics, name) for name in RECORDED_METRICS}
    return {name: None if value is None else round(value, 6) for name, value in values.items()}


def curve(trial: FrozenTrial | Trial) -> list[CurvePoint]:
    """Return the epochs that `trial` was trained for, oldest first; none if it never trained."""
    return [CurvePoint.from_list(point) for point in trial.user_attrs.get(CURVE, [])]


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


def trained(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that count in a budget, in their order."""
    return [trial for trial in trials if was_trained(trial)]


def gave_way(trial: FrozenTrial) -> bool:
    """Whether `trial` ended without a verdict on its point, which others may try.

    It was a duplicate itself, over the budget, or cut short when the study was over.
    """
    return trial.user_attrs.get(PRUNED_BY) in (PrunedBy.DUPLICATE, PrunedBy.BUDGET, PrunedBy.STOPPED)


def completed(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that ran to their end and have values."""
    return [trial for trial in trials if trial.state == TrialState.COMPLETE]


def fbeta(trial: FrozenTrial) -> float:
    """Validation F-beta of the best epoch; 0 if the trial was never trained."""
    return max((point.fbeta for point in curve(trial)), default=0.0)


def metric(trial: FrozenTrial, name: str) -> float | None:
    """Return one of the recorded validation metrics of the best epoch, if it is there."""
    value = trial.user_attrs.get(METRICS, {}).get(name)
    return None if value is None else float(value)


def onnx_bytes(trial: FrozenTrial) -> int:
    """Size of the ONNX file that this trial's configuration makes.

    Raises:
        KeyError: the trial ended before its size was known.
    """
    return int(trial.user_attrs[ONNX_BYTES])


def architecture(trial: FrozenTrial) -> str:
    """Name of the architecture, whether suggested (phase 1) or fixed (phase 2)."""
    return str(trial.params.get(ARCHITECTURE, trial.user_attrs.get(ARCHITECTURE, "")))


def learning_rate(trial: FrozenTrial) -> float | None:
    """Learning rate, whether suggested or fixed; None before it is known."""
    value: Any = trial.params.get(LEARNING_RATE, trial.user_attrs.get(LEARNING_RATE))
    return None if value is None else float(value)
