"""Writing and reading ATML's trial attributes; their names are defined only here.

Optuna stores parameters, values and state. Everything else that a report, another worker or a
resumed run needs is in user attributes with the names below.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Self

from optuna.trial import FrozenTrial, Trial, TrialState

from atml.evaluation import Estimate, FoldCounts, Metrics
from atml.export.c import Footprint
from atml.tuning.proposal import Proposal

# Parameters. The first two name a candidate.
ARCHITECTURE = "architecture"
ONNX_BYTES = "onnx_bytes"
LEARNING_RATE = "learning_rate"
# Attributes of a trial. Each costs a transaction.
WORKER = "worker"
NETWORK = "network"  # config, number of parameters, and what its C code needs
CURVE = "curve"
RESULT = "result"  # estimate, metrics, and counts of the held-out subjects of each fold
PRUNED_BY = "pruned_by"
PRUNED_BECAUSE = "pruned_because"
RETRY_OF = "retry_of"
DEATHS = "deaths"  # workers that died in a row without a new epoch
REACHED = "reached"  # by earlier attempts: folds finished, and epochs of the next
# Attribute of a study: it is ATML's and complete.
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
# These are also attributes of their own: optuna-dashboard shows each as a sortable column.
COLUMNS = ("f1", "precision", "recall", "specificity", "worst")


class PrunedBy(StrEnum):
    """What ended a trial early; the first three act before its first epoch.

    ERROR is an error that would recur, with its text as the reason.
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
    """One epoch of a trial, as used by the learning curve and the pruners."""

    fold: int
    train_loss: float
    valid_loss: float  # on part of the fold's held-out segments, like F-beta
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
    """Return the result of the folds so far as JSON."""
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
    """Return the epochs of `trial`, oldest first; empty if it never trained."""
    return [CurvePoint.from_list(point) for point in trial.user_attrs.get(CURVE, [])]


def folds(trial: FrozenTrial | Trial) -> dict[int, FoldCounts]:
    """Return the counts of every finished fold of `trial`, including those of earlier trials at its point."""
    kept: Mapping[str, Any] = trial.user_attrs.get(RESULT, {}).get("counts", {})
    return {int(fold): FoldCounts.from_dict(values) for fold, values in kept.items()}


def estimate(trial: FrozenTrial | Trial) -> Estimate | None:
    """Return the estimate of F-beta on unseen subjects; None before the first fold ends."""
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
    """Number of the first attempt that this trial retries; its own number if it is the first."""
    return int(trial.user_attrs.get(RETRY_OF, trial.number))


def training_seconds(trial: FrozenTrial) -> float:
    """Time that `trial` spent in its epochs."""
    return sum(point.seconds for point in curve(trial))


def was_trained(trial: FrozenTrial) -> bool:
    """Whether `trial` ended after it had begun to train: only such trials count in a budget.

    A trial that diverged within its first epoch has no recorded epoch but did train.
    """
    began = bool(trial.user_attrs.get(CURVE)) or diverged(trial)
    if trial.state == TrialState.COMPLETE:  # others may have added one that ATML did not train
        return began or estimate(trial) is not None
    return trial.state == TrialState.PRUNED and began


def diverged(trial: FrozenTrial | Trial) -> bool:
    """Whether the loss of `trial` became infinite or not a number."""
    return trial.user_attrs.get(PRUNED_BY) == PrunedBy.DIVERGED


def trained(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that count in a budget, in order."""
    return [trial for trial in trials if was_trained(trial)]


def released_point(trial: FrozenTrial) -> bool:
    """Whether `trial` ended without a final result for its point, so that others may try it.

    It was a duplicate, over the budget, ended with the study, or fell behind others in the race that
    may turn out worse on later folds.
    """
    return trial.user_attrs.get(PRUNED_BY) in (
        PrunedBy.DUPLICATE,
        PrunedBy.BUDGET,
        PrunedBy.STOPPED,
        PrunedBy.RACE,
    )


def completed(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that finished the race; others may have added trials that ATML did not train."""
    return [trial for trial in trials if trial.state == TrialState.COMPLETE and estimate(trial) is not None]


def fbeta(trial: FrozenTrial) -> float:
    """F-beta on unseen subjects: the mean over the finished folds, or that of the last epoch before the
    first fold ends; 0 if the trial was never trained."""
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
    """Return a recorded validation metric, or None; 0 for a trial that diverged.

    "fbeta" is the F-beta by which trials are ranked, in which all subjects weigh the same.
    """
    if diverged(trial):
        return 0.0
    known = estimate(trial) if name == "fbeta" else None
    return known.fbeta if known is not None else metrics(trial).get(name)


def onnx_bytes(trial: FrozenTrial) -> int:
    """Size of the ONNX file of this trial's configuration.

    Raises:
        KeyError: the trial ended before its size was known.
    """
    return int(trial.params[ONNX_BYTES])


def config(trial: FrozenTrial) -> dict[str, Any] | None:
    """Widths and other settings of the network, once they are known."""
    values: dict[str, Any] | None = trial.user_attrs.get(NETWORK, {}).get("config")
    return values


def proposal(trial: FrozenTrial) -> Proposal:
    """Return the network and the learning rate that `trial` trained."""
    return Proposal.of(architecture(trial), config(trial) or {}, learning_rate(trial) or 0.0)


def parameters(trial: FrozenTrial) -> int | None:
    """Number of weights of the network, once it is known."""
    count: int | None = trial.user_attrs.get(NETWORK, {}).get("parameters")
    return count


def footprint(trial: FrozenTrial) -> Footprint:
    """What the C code of this trial's network needs, as far as it is known."""
    values = trial.user_attrs.get(NETWORK, {})
    return Footprint(**{f.name: values.get(f.name) for f in fields(Footprint)})


def architecture(trial: FrozenTrial) -> str:
    """Name of the architecture."""
    return str(trial.params.get(ARCHITECTURE, ""))


def learning_rate(trial: FrozenTrial) -> float | None:
    """Learning rate; None before it is known."""
    return trial.params.get(LEARNING_RATE)
