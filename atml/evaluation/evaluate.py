"""Turn labels and scores into metrics."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from atml.evaluation.bootstrap import bootstrap_intervals
from atml.evaluation.confusion import Confusion, Floats, count_by_group, or_none
from atml.evaluation.labelled import groups, labelled_scores
from atml.evaluation.metrics import Metrics, RhythmMetrics, SubjectMetrics

# A subject counts for G when its F-beta is above this (IESD-2024).
G_ABOVE = 0.9


def evaluate(
    labels: ArrayLike,
    scores: ArrayLike,
    subjects: ArrayLike,
    rhythms: ArrayLike,
    *,
    threshold: float,
    beta: float = 2.0,
    bootstrap: int = 1000,
) -> Metrics:
    """Return the metrics of calling AFIB where a score is at least `threshold`.

    `labels` [n] are 0 or 1 (= AFIB), `scores` [n] are P(AFIB), `subjects` [n] and `rhythms` [n]
    are names. `bootstrap` resamples of the subjects, always the same, give the intervals; 0 skips
    them. Raises ValueError for vectors of different length, for empty vectors, and for invalid
    labels or scores.
    """
    positive, score = labelled_scores(labels, scores)
    subject_names, subject = groups("subjects", subjects, positive.size)
    rhythm_names, rhythm = groups("rhythms", rhythms, positive.size)
    called = score >= threshold
    by_subject = count_by_group(subject, len(subject_names), positive, called)
    by_rhythm = count_by_group(rhythm, len(rhythm_names), positive, called)
    members = np.split(np.argsort(subject, kind="stable"), np.cumsum(by_subject.segments)[:-1].astype(int))
    areas = [roc_auc(positive[member], score[member]) for member in members]
    counted = metrics_of_counts(subject_names, by_subject, areas, threshold=threshold, beta=beta)
    return replace(
        counted,
        roc_auc=roc_auc(positive, score),
        per_rhythm=_per_rhythm(rhythm_names, by_rhythm),
        intervals=bootstrap_intervals(
            by_subject,
            np.array([one.fbeta for one in counted.per_subject]),
            subject,
            positive,
            score,
            beta=beta,
            g_above=G_ABOVE,
            resamples=bootstrap,
        ),
    )


def metrics_of_counts(
    subjects: Sequence[str],
    counts: Confusion,
    areas: Sequence[float | None],
    *,
    threshold: float,
    beta: float,
) -> Metrics:
    """Return the metrics derived from each subject's counts and area under the ROC curve.

    The pooled area, rhythms and intervals cannot be derived from counts and are omitted.
    """
    pooled = counts.pooled()
    per_subject = _per_subject(subjects, counts, areas, beta=beta)
    subject_fbeta = np.array([one.fbeta for one in per_subject])
    return Metrics(
        threshold=float(threshold),
        beta=float(beta),
        segments=int(counts.segments.sum()),
        subjects=len(subjects),
        f1=float(pooled.fbeta(1.0)[0]),
        fbeta=float(pooled.fbeta(beta)[0]),
        accuracy=float(pooled.accuracy[0]),
        precision=float(pooled.precision[0]),
        recall=float(pooled.recall[0]),
        specificity=or_none(pooled.specificity[0]),
        roc_auc=None,
        subject_mean_fbeta=float(subject_fbeta.mean()),
        g=float((subject_fbeta > G_ABOVE).mean()),
        per_subject=per_subject,
        per_rhythm=(),
        intervals={},
    )


def roc_auc(positive: NDArray[np.bool_], score: Floats, weight: Floats | None = None) -> float | None:
    """Return the area under the ROC curve, or None when only one class is present.

    `weight` [n] is that of each segment; by default they weigh the same.
    """
    if positive.all() or not positive.any():
        return None
    # Late: importing scikit-learn takes longer than most evaluations.
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(positive, score, sample_weight=weight))


def _per_subject(
    names: Sequence[str], counts: Confusion, areas: Sequence[float | None], *, beta: float
) -> tuple[SubjectMetrics, ...]:
    # The contest's rule: without AFIB there is nothing to miss, and false alarms are ignored.
    exempt = counts.afib == 0
    f1, fbeta, precision, recall = (
        np.where(exempt, 1.0, rate)
        for rate in (counts.fbeta(1.0), counts.fbeta(beta), counts.precision, counts.recall)
    )
    return tuple(
        SubjectMetrics(
            subject=name,
            segments=int(counts.segments[i]),
            afib_segments=int(counts.afib[i]),
            f1=float(f1[i]),
            fbeta=float(fbeta[i]),
            accuracy=float(counts.accuracy[i]),
            precision=float(precision[i]),
            recall=float(recall[i]),
            specificity=or_none(counts.specificity[i]),
            roc_auc=areas[i],
        )
        for i, name in enumerate(names)
    )


def _per_rhythm(names: list[str], counts: Confusion) -> tuple[RhythmMetrics, ...]:
    return tuple(
        RhythmMetrics(
            rhythm=name,
            segments=int(counts.segments[i]),
            called_afib=float((counts.hits + counts.false_alarms)[i] / counts.segments[i]),
            accuracy=float(counts.accuracy[i]),
        )
        for i, name in enumerate(names)
    )
