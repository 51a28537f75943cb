"""Comparing two models on the same subjects.

Efron & Tibshirani, An Introduction to the Bootstrap, 1993: subjects are resampled, and both models are
evaluated on the same resamples, so what makes a subject hard cancels out.
"""

from collections.abc import Sequence

import numpy as np

from atml.evaluation.bootstrap import resampled_subjects
from atml.evaluation.confusion import Confusion
from atml.evaluation.estimate import FoldCounts, counts_at

RESAMPLES = 2000


def chance_to_be_better(
    one: Sequence[FoldCounts],
    other: Sequence[FoldCounts],
    *,
    thresholds: tuple[float, float],
    beta: float = 2.0,
) -> float:
    """Return the share of resamples of the subjects in which `one` has the higher F-beta.

    Args:
        one: The counts of every fold on which a model was evaluated.
        other: The same of another model, with the same subjects.
        thresholds: The decision threshold of each, from `atml.evaluation.estimate.THRESHOLDS`.
        beta: Beta of F-beta.

    Raises ValueError if the subjects differ.
    """
    (names, ours), (others, theirs) = (
        _by_subject(folds, at) for folds, at in zip((one, other), thresholds, strict=True)
    )
    if names != others:
        raise ValueError("two models must be compared on the same subjects.")
    times = resampled_subjects(len(names), RESAMPLES)
    gain = ours.resampled(times).fbeta(beta) - theirs.resampled(times).fbeta(beta)
    return float((gain > 0).mean() + (gain == 0).mean() / 2)


def _by_subject(folds: Sequence[FoldCounts], threshold: float) -> tuple[list[str], Confusion]:
    """Return the subjects, sorted, and the counts of each as shares of its segments in a fold."""
    names, counts = counts_at(folds, threshold)
    distinct, place = np.unique(names, return_inverse=True)
    own = place == np.arange(len(distinct))[:, None]
    return distinct.tolist(), counts.resampled(own / np.maximum(1, counts.segments))
