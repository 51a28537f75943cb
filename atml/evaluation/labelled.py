"""Labels and scores, checked once and made numpy arrays."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def labelled_scores(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return `labels` [n] as booleans (True = AFIB) and `scores` [n] = P(AFIB) as floats.

    Raises ValueError when they are empty, differ in length, hold a label other than 0 and 1, or
    hold a score that is not a finite number.
    """
    truth = np.asarray(labels)
    score = np.asarray(scores, dtype=np.float64)
    if truth.ndim != 1 or score.shape != truth.shape:
        raise ValueError(
            "labels and scores must be vectors of one length, "
            f"but got shapes {truth.shape} and {score.shape}."
        )
    if truth.size == 0:
        raise ValueError("labels and scores must not be empty, but got 0 segments.")
    if not np.isfinite(score).all():
        bad = int(np.flatnonzero(~np.isfinite(score))[0])
        raise ValueError(f"scores must be finite, but got {score[bad]} at index {bad}.")
    positive = truth == 1
    other = ~positive & (truth != 0)
    if other.any():
        raise ValueError(f"labels must be 0 or 1, but got {truth[other][0]!r}.")
    return positive, score


def groups(what: str, names: ArrayLike, segments: int) -> tuple[list[str], NDArray[np.int64]]:
    """Return the distinct names, sorted, and the index [n] of each segment's name among them.

    Raises ValueError unless `names` has one for each of the `segments`.
    """
    given = np.asarray(names)
    if given.shape != (segments,):
        raise ValueError(
            f"{what} must be a vector of {segments} names, one per segment, but got shape {given.shape}."
        )
    distinct, index = np.unique(given, return_inverse=True)
    return [str(name) for name in distinct], index.astype(np.int64)
