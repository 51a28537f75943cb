"""Intervals by resampling subjects: segments of one subject are not independent.

Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (percentile intervals).
"""

import numpy as np
from numpy.typing import NDArray

from atml.evaluation.confusion import Confusion, Floats, ratio

LEVEL = 0.95
SEED = 0

# With fewer subjects a 95 % percentile interval covers the truth in much less than 95 % of cases.
LEAST_SUBJECTS = 6

# Scores are binned by rank before the area under the ROC curve is resampled: a segment ties with
# 1/1024 of the others, which changes the area by far less than the width of the interval.
SCORE_BINS = 1024


def bootstrap_intervals(
    by_subject: Confusion,
    subject_fbeta: Floats,
    subject: NDArray[np.int64],
    positive: NDArray[np.bool_],
    score: Floats,
    *,
    beta: float,
    g_above: float,
    resamples: int,
) -> dict[str, tuple[float, float]]:
    """Return the 95 % percentile interval of every pooled metric, by name of the metric.

    Each resample draws subjects with replacement, as many as there are, and pools their counts.
    Only counts are resampled, not segments, so the cost does not grow with the recordings. A resample
    without AFIB says nothing about how AFIB is found. A metric is omitted if fewer than six subjects have the
    segments that it is about: AFIB for recall, other rhythms for specificity, both for the area.
    """
    subjects = subject_fbeta.size
    if subjects < LEAST_SUBJECTS or resamples == 0:
        return {}
    enough_afib, enough_other = (count >= LEAST_SUBJECTS for count in subjects_with(by_subject))
    times = resampled_subjects(subjects, resamples)
    pooled = by_subject.resampled(times)
    figures = {"accuracy": pooled.accuracy}
    if enough_afib:
        figures |= {
            "f1": with_afib(pooled, pooled.fbeta(1.0)),
            "fbeta": with_afib(pooled, pooled.fbeta(beta)),
            "precision": with_afib(pooled, pooled.precision),
            "recall": with_afib(pooled, pooled.recall),
            "subject_mean_fbeta": times @ subject_fbeta / subjects,
            "g": times @ (subject_fbeta > g_above).astype(float) / subjects,
        }
    if enough_other:
        figures["specificity"] = pooled.specificity
    if enough_afib and enough_other:
        figures["roc_auc"] = _resampled_auc(times, subject, positive, score)
    return {name: percentiles(values) for name, values in figures.items()}


def subjects_with(by_subject: Confusion) -> tuple[int, int]:
    """Return how many subjects have AFIB, and how many have other segments."""
    return int((by_subject.afib > 0).sum()), int((by_subject.segments > by_subject.afib).sum())


def resampled_subjects(subjects: int, resamples: int) -> Floats:
    """Return [resamples, subjects] how often each subject is drawn, with replacement."""
    rng = np.random.default_rng(SEED)
    return rng.multinomial(subjects, np.full(subjects, 1 / subjects), size=resamples).astype(float)


def with_afib(counts: Confusion, values: Floats) -> Floats:
    """Return the values of a metric, NaN where the counts hold no AFIB and its value would be 0."""
    return np.where(counts.afib > 0, values, np.nan)


def percentiles(values: Floats) -> tuple[float, float]:
    """Return the 95 % interval of the values of a metric in resamples, of which one at least is defined."""
    # NaN: a resample with only one class, in which the metric is undefined.
    low, high = np.nanquantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _resampled_auc(
    times: Floats, subject: NDArray[np.int64], positive: NDArray[np.bool_], score: Floats
) -> Floats:
    """Return the area under the ROC curve of each resample [resamples]; NaN with one class."""
    edges = np.unique(np.quantile(score, np.linspace(0, 1, SCORE_BINS + 1)[1:-1], method="lower"))
    bins = edges.size + 1
    cell = subject * bins + np.searchsorted(edges, score, side="right")
    size = times.shape[1] * bins
    afib = times @ np.bincount(cell[positive], minlength=size).reshape(-1, bins)
    other = times @ np.bincount(cell[~positive], minlength=size).reshape(-1, bins)
    # The share of (AFIB, other) pairs in which AFIB scores higher; a pair within a bin is a tie.
    lower = np.cumsum(other, axis=1) - other / 2
    pairs = afib.sum(axis=1) * other.sum(axis=1)
    wins = (afib * lower).sum(axis=1)
    return ratio(wins, pairs, empty=np.nan)
