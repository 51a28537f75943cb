"""Pooled F-beta, quick enough to be asked after every epoch."""

import numpy as np
from numpy.typing import ArrayLike

from atml.evaluation.labelled import check_beta, labelled_scores


def fbeta(labels: ArrayLike, scores: ArrayLike, *, threshold: float = 0.5, beta: float = 2.0) -> float:
    """Return the pooled F-beta of calling AFIB where a score is at least `threshold`.

    `labels` [n] are 0 or 1 (= AFIB), `scores` [n] are P(AFIB). F-beta weighs recall `beta` times
    as much as precision (van Rijsbergen, Information Retrieval, 1979, chapter 7):
    (1 + β²)·TP / ((1 + β²)·TP + β²·FN + FP). It is 0 when there is nothing to find and nothing
    was called, as in scikit-learn.
    """
    check_beta(beta)
    positive, score = labelled_scores(labels, scores)
    called = score >= threshold
    hits = int(np.count_nonzero(positive & called))
    # (1 + β²)·TP + β²·FN + FP, written with the two margins: β²·(all AFIB) + (all called).
    margins = beta**2 * int(np.count_nonzero(positive)) + int(np.count_nonzero(called))
    return (1 + beta**2) * hits / margins if margins else 0.0
