"""Estimates how well a candidate will do on new subjects from subjects it was not trained on."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from atml.evaluation.confusion import Confusion, Floats, ratio
from atml.evaluation.evaluate import metrics_of_counts
from atml.evaluation.labelled import labelled_scores
from atml.evaluation.metrics import Metrics
from atml.evaluation.threshold import plateau

# Dense where F-beta with beta > 1 has its best threshold, sparse above.
THRESHOLDS = (0.02, 0.05, 0.08, 0.12, 0.16, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7)

Counts = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class FoldCounts:
    """How the held-out subjects of one fold were called, at each of `THRESHOLDS`."""

    subjects: tuple[str, ...]
    afib: Counts  # [subjects] segments
    other: Counts  # [subjects] segments
    hits: Counts  # [subjects, thresholds] AFIB, called AFIB
    false_alarms: Counts  # [subjects, thresholds] other, called AFIB

    @classmethod
    def of(cls, labels: ArrayLike, scores: ArrayLike, subjects: ArrayLike) -> Self:
        """Count the segments of a fold: `labels` [n], `scores` [n] = P(AFIB), `subjects` [n] names.

        Raises ValueError as `evaluate` does.
        """
        positive, score = labelled_scores(labels, scores)
        names, subject = np.unique(np.asarray(subjects), return_inverse=True)
        called = score[:, None] >= np.array(THRESHOLDS)

        def by_subject(chosen: NDArray[np.bool_]) -> Counts:
            return np.stack([np.bincount(subject[column], minlength=len(names)) for column in chosen.T], 1)

        return cls(
            subjects=tuple(str(name) for name in names),
            afib=np.bincount(subject[positive], minlength=len(names)),
            other=np.bincount(subject[~positive], minlength=len(names)),
            hits=by_subject(called & positive[:, None]),
            false_alarms=by_subject(called & ~positive[:, None]),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return JSON types: {subject: [afib, other, [hits …], [false alarms …]]}."""
        counts = (one.tolist() for one in (self.afib, self.other, self.hits, self.false_alarms))
        return {name: row for name, *row in zip(self.subjects, *counts, strict=True)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the counts that `to_dict` wrote."""
        afib, other, hits, alarms = (np.array(one, np.int64) for one in zip(*values.values(), strict=True))
        return cls(subjects=tuple(values), afib=afib, other=other, hits=hits, false_alarms=alarms)

    def fbeta(self, beta: float) -> Floats:
        """Return F-beta [thresholds], with equal weight for each subject however long its recording."""
        weight = 1 / np.maximum(1, self.afib + self.other)
        hits, alarms = weight @ self.hits, weight @ self.false_alarms
        bottom = beta**2 * (weight @ self.afib) + hits + alarms
        return ratio((1 + beta**2) * hits, bottom, empty=0.0)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """F-beta on subjects that a candidate has not seen, as the mean over folds."""

    fbeta: float
    standard_error: float | None  # of that mean; None with one fold
    threshold: float  # one for all folds
    by_fold: tuple[float, ...]
    partitions: int = 1  # of the subjects into folds

    @property
    def folds(self) -> int:
        """How many folds the candidate was trained on."""
        return len(self.by_fold)


def estimate(folds: Sequence[FoldCounts], *, beta: float = 2.0, partitions: int = 1) -> Estimate:
    """Return the estimate for a candidate that was trained once without each of `folds`.

    The decision threshold is the same for all folds: the middle of the plateau on which the mean over
    folds is within .002 of its maximum, as for the shipped model. A fixed threshold would penalise networks
    whose scores are all a little low or high, which does not harm the shipped model.

    With several `partitions`, in each of which every subject is in one fold, the standard error is that of
    one: the same subjects say nothing new about others.
    """
    curves = np.stack([fold.fbeta(beta) for fold in folds])  # [folds, thresholds]
    at = sum(plateau(curves.mean(axis=0))) // 2
    by_fold = curves[:, at]
    spread = float(by_fold.std(ddof=1)) / math.sqrt(len(folds) / partitions) if len(folds) > 1 else None
    return Estimate(
        fbeta=float(by_fold.mean()),
        standard_error=spread,
        threshold=THRESHOLDS[at],
        by_fold=tuple(float(value) for value in by_fold),
        partitions=partitions,
    )


def fbeta_of_all_afib(afib_share: float, beta: float) -> float:
    """Return F-beta of calling every segment AFIB: recall is 1, and precision the share of AFIB."""
    return (1 + beta**2) * afib_share / (beta**2 * afib_share + 1)


def metrics_of_folds(folds: Sequence[FoldCounts], *, threshold: float, beta: float = 2.0) -> Metrics:
    """Return the metrics of all held-out subjects of `folds` at one of `THRESHOLDS`.

    The area under the ROC curve, rhythms and intervals cannot be derived from counts and are omitted.
    """
    subjects, counts = counts_at(folds, threshold)
    return metrics_of_counts(subjects, counts, [None] * len(subjects), threshold=threshold, beta=beta)


def counts_at(folds: Sequence[FoldCounts], threshold: float) -> tuple[list[str], Confusion]:
    """Return the held-out subjects of all folds and how they were called at one of `THRESHOLDS`."""
    at = THRESHOLDS.index(threshold)
    hits = np.concatenate([fold.hits[:, at] for fold in folds]).astype(float)
    alarms = np.concatenate([fold.false_alarms[:, at] for fold in folds]).astype(float)
    afib = np.concatenate([fold.afib for fold in folds])
    other = np.concatenate([fold.other for fold in folds])
    counts = Confusion(hits=hits, misses=afib - hits, false_alarms=alarms, rejections=other - alarms)
    return [name for fold in folds for name in fold.subjects], counts
