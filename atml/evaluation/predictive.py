"""Predictive values: what an answer means where AFIB is rarer or more common than in the data."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from atml.evaluation.bootstrap import (
    LEAST_SUBJECTS,
    percentiles,
    resampled_subjects,
    subjects_with,
    with_afib,
)
from atml.evaluation.confusion import Confusion, Floats, or_none
from atml.evaluation.metrics import Metrics

PREVALENCES = (0.01, 0.05, 0.10)
RESAMPLES = 1000

Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class PredictiveValues:
    """The shares of right answers at one prevalence; None where the model never gives that answer."""

    prevalence: float
    positive: float | None  # of the answers AFIB, those that are right
    negative: float | None  # of the answers Normal, those that are right
    positive_interval: Interval | None  # 95 %, over subjects
    negative_interval: Interval | None


def predictive_values(
    metrics: Metrics, prevalences: Sequence[float] = PREVALENCES
) -> tuple[PredictiveValues, ...]:
    """Return the predictive values of a model at other prevalences of AFIB among segments, by Bayes' rule.

    Sensitivity and specificity are taken to stay as they are in `metrics`. The intervals resample subjects,
    as those of `evaluate` do; with fewer than six of a class there are none. Returns nothing if `metrics`
    lacks one of the classes.
    """
    counts = counts_of(metrics)
    if metrics.specificity is None or not counts.afib.any():
        return ()
    resamples = RESAMPLES if min(subjects_with(counts)) >= LEAST_SUBJECTS else 0
    times = resampled_subjects(counts.segments.size, resamples)
    resampled = counts.resampled(times)
    return tuple(_at(prevalence, counts.pooled(), resampled) for prevalence in prevalences)


def counts_of(metrics: Metrics) -> Confusion:
    """Return the confusion counts of each subject, recovered from its rates."""
    subjects = metrics.per_subject
    afib = np.array([one.afib_segments for one in subjects], float)
    other = np.array([one.segments for one in subjects], float) - afib
    hits = np.rint(afib * [one.recall for one in subjects])
    rejections = np.rint(other * [one.specificity or 0.0 for one in subjects])
    return Confusion(hits=hits, misses=afib - hits, false_alarms=other - rejections, rejections=rejections)


def _at(prevalence: float, pooled: Confusion, resampled: Confusion) -> PredictiveValues:
    (positive,), (negative,) = _values(pooled, prevalence)
    positives, negatives = _values(resampled, prevalence)
    return PredictiveValues(
        prevalence=prevalence,
        positive=or_none(positive),
        negative=or_none(negative),
        positive_interval=percentiles(positives) if np.isfinite(positives).any() else None,
        negative_interval=percentiles(negatives) if np.isfinite(negatives).any() else None,
    )


def _values(counts: Confusion, prevalence: float) -> tuple[Floats, Floats]:
    recall = with_afib(counts, counts.recall)
    found, cleared = recall * prevalence, counts.specificity * (1 - prevalence)
    with np.errstate(invalid="ignore"):
        positive: Floats = found / (found + (1 - counts.specificity) * (1 - prevalence))
        negative: Floats = cleared / (cleared + (1 - recall) * prevalence)
    return positive, negative
