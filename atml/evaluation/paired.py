"""Comparing two models on the same subjects.

Efron & Tibshirani, An Introduction to the Bootstrap, 1993: subjects are resampled, and both models are
evaluated on the same resamples, so what makes a subject hard cancels out.
"""

from collections.abc import Sequence

import numpy as np

from atml.evaluation.bootstrap import resampled_subjects
from atml.evaluation.confusion import Floats
from atml.evaluation.estimate import THRESHOLDS, FoldCounts

RESAMPLES = 2000


def chance_to_be_better(
    one: Sequence[FoldCounts],
    other: Sequence[FoldCounts],
    *,
    thresholds: tuple[float, float],
    beta: float = 2.0,
    seed: int = 0,
) -> float:
    """Return the share of resamples of the subjects in which `one` has the higher F-beta.

    Args:
        one: The counts of every fold on which a model was evaluated.
        other: The same of another model, with the same subjects.
        thresholds: The decision threshold of each, from `THRESHOLDS`.
        beta: Beta of F-beta.
        seed: Seed of the resamples.

    Raises ValueError if the subjects differ.
    """
    sums = [_by_subject(folds, at) for folds, at in zip((one, other), thresholds, strict=True)]
    names = sorted(sums[0])
    if names != sorted(sums[1]):
        raise ValueError("two models must be compared on the same subjects.")
    times = resampled_subjects(len(names), resamples=RESAMPLES, seed=seed)
    ours, theirs = (_fbeta(times @ np.stack([found[name] for name in names]), beta) for found in sums)
    return float((ours > theirs).mean() + (ours == theirs).mean() / 2)


def _by_subject(folds: Sequence[FoldCounts], threshold: float) -> dict[str, Floats]:
    """Return [AFIB, hits, false alarms] of each subject, as shares of its segments."""
    at = THRESHOLDS.index(threshold)
    found: dict[str, Floats] = {}
    for fold in folds:
        weight = 1 / np.maximum(1, fold.afib + fold.other)
        rows = np.stack([fold.afib, fold.hits[:, at], fold.false_alarms[:, at]], axis=1) * weight[:, None]
        for name, row in zip(fold.subjects, rows, strict=True):
            found[name] = found.get(name, 0.0) + row
    return found


def _fbeta(sums: Floats, beta: float) -> Floats:
    """Return F-beta [n] of sums [n, 3] of AFIB, hits and false alarms; 0 where it is undefined."""
    afib, hits, alarms = sums.T
    bottom = beta**2 * afib + hits + alarms
    found: Floats = np.divide((1 + beta**2) * hits, bottom, out=np.zeros_like(hits), where=bottom > 0)
    return found
