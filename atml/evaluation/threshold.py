"""Choose the score from which a segment is called AFIB."""

import numpy as np
from numpy.typing import ArrayLike

from atml.evaluation.confusion import Floats
from atml.evaluation.labelled import groups, labelled_scores

# Thresholds whose F-beta is this close to the best count as equally good.
TOLERANCE = 0.002
LOWEST, HIGHEST = 0.001, 0.999  # of 0 and 1 the logit is infinite


def best_threshold(labels: ArrayLike, scores: ArrayLike, subjects: ArrayLike, *, beta: float = 2.0) -> float:
    """Return the decision threshold with the best F-beta, for scores the model was not trained on.

    `labels` [n] are 0 or 1 (= AFIB), `scores` [n] are out-of-fold P(AFIB), `subjects` [n] names.

    F-beta is pooled, with equal weight for each subject however long its recording. (The contest's
    mean over subjects is not used: it ignores false alarms in subjects without AFIB and would push
    the threshold down.) Its maximum is often a chance spike, so the result is the middle of the
    plateau around it where F-beta is within .002 of it, clipped to .001 – .999 and rounded to four
    decimals. Raises ValueError when there is no AFIB.
    """
    positive, score = labelled_scores(labels, scores)
    if not positive.any():
        raise ValueError("a threshold needs AFIB segments, but got none.")
    _, subject = groups("subjects", subjects, score.size)
    weight = 1 / np.bincount(subject)[subject]  # so that subjects count the same
    # steps[i] is called AFIB by every threshold in (steps[i - 1], steps[i]].
    steps, place = np.unique(score, return_inverse=True)
    afib, called = (np.bincount(place, one)[::-1].cumsum()[::-1] for one in (weight * positive, weight))
    curve = (1 + beta**2) * afib / (beta**2 * afib[0] + called)
    low, high = plateau(curve)
    below = steps[low - 1] if low > 0 else min(0.0, steps[0])
    return round(float(np.clip((below + steps[high]) / 2, LOWEST, HIGHEST)), 4)


def plateau(curve: Floats) -> tuple[int, int]:
    """Return the first and last index of the plateau around the maximum of a curve of F-beta."""
    peak = int(np.argmax(curve))
    worse = np.flatnonzero(curve < curve[peak] - TOLERANCE)
    before, after = worse[worse < peak], worse[worse > peak]
    low = int(before[-1]) + 1 if before.size else 0
    high = int(after[0]) - 1 if after.size else curve.size - 1
    return low, high
