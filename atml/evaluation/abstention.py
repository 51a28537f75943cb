"""Answering only where a model is confident enough: a second threshold, with the share that it answers.

Chow, On Optimum Recognition Error and Reject Tradeoff, 1970.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from atml.evaluation.confusion import Floats
from atml.evaluation.evaluate import evaluate
from atml.evaluation.labelled import labelled_scores
from atml.evaluation.metrics import Metrics
from atml.evaluation.stored import Stored

COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5)
_SMALLEST = 1e-7  # scores of 0 and 1 have no finite logit


@dataclass(frozen=True, kw_only=True)
class Abstention(Stored):
    """A lowest confidence for an answer, and how well a model does with it.

    A model that is silent about some people is not as good as its metrics.
    """

    least_confidence: float  #: Lowest confidence of an answer: from .5, at the threshold, to 1.
    coverage: float  #: Share of segments that get an answer.
    subject_coverage: float  #: The smallest such share of any subject.
    #: Metrics of the answered segments alone, without intervals and episodes; None if there are none.
    metrics: Metrics | None


def confidence(scores: ArrayLike, threshold: float) -> Floats:
    """Return how confident each answer is, from .5 at the decision threshold to 1.

    The logit of a score is taken relative to that of `threshold`, so answers on both sides of it compare:
    with a threshold of .1, scores of .01 and .55 are equally confident (.92).
    """
    distance = np.abs(_logit(np.asarray(scores, np.float64)) - _logit(np.array(threshold)))
    found: Floats = 1 / (1 + np.exp(-distance))
    return found


def abstain(
    labels: ArrayLike,
    scores: ArrayLike,
    subjects: ArrayLike,
    rhythms: ArrayLike,
    *,
    threshold: float,
    least_confidence: float,
    beta: float = 2.0,
) -> Abstention:
    """Return how well a model does if it answers only with at least `least_confidence`.

    Arguments are as for `evaluate`. Raises ValueError as it does, and unless `least_confidence` is within .5
    and 1.
    """
    if not 0.5 <= least_confidence <= 1:
        raise ValueError(f"least_confidence must be from .5 to 1, but got {least_confidence}.")
    positive, score = labelled_scores(labels, scores)
    names, subject = np.unique(np.asarray(subjects), return_inverse=True)
    kept = confidence(score, threshold) >= least_confidence
    answered = np.bincount(subject[kept], minlength=len(names)) / np.bincount(subject)
    metrics = None
    if kept.any():
        metrics = evaluate(
            positive[kept],
            score[kept],
            np.asarray(subjects)[kept],
            np.asarray(rhythms)[kept],
            threshold=threshold,
            beta=beta,
            bootstrap=0,
        )
    return Abstention(
        least_confidence=float(least_confidence),
        coverage=float(kept.mean()),
        subject_coverage=float(answered.min()),
        metrics=metrics,
    )


def least_confidence_for(scores: ArrayLike, threshold: float, coverage: float) -> float:
    """Return the lowest confidence at which at least the share `coverage` of `scores` gets an answer.

    The scores should be out-of-fold: a network is more confident about segments that it was trained on.

    Raises ValueError unless `coverage` is above 0 and at most 1.
    """
    if not 0 < coverage <= 1:
        raise ValueError(f"coverage must be above 0 and at most 1, but got {coverage}.")
    known = confidence(scores, threshold)
    if coverage == 1:
        return 0.5  # answer everything, also what is not among these scores
    answered = int(np.ceil(coverage * known.size - 1e-9))
    return float(np.sort(known)[::-1][answered - 1])


def trade_off(
    labels: ArrayLike,
    scores: ArrayLike,
    subjects: ArrayLike,
    rhythms: ArrayLike,
    *,
    threshold: float,
    beta: float = 2.0,
    coverages: Sequence[float] = COVERAGES,
) -> tuple[Abstention, ...]:
    """Return how well a model does at each coverage; arguments are as for `evaluate`."""
    return tuple(
        abstain(
            labels,
            scores,
            subjects,
            rhythms,
            threshold=threshold,
            least_confidence=least_confidence_for(scores, threshold, coverage),
            beta=beta,
        )
        for coverage in coverages
    )


def _logit(scores: Floats) -> Floats:
    inside = np.clip(scores, _SMALLEST, 1 - _SMALLEST)
    found: Floats = np.log(inside / (1 - inside))
    return found
