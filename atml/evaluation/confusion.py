"""Confusion counts per subject, and the rates derived from them."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """True and false positives and negatives: vectors with one entry per subject (or resample).

    Every rate is a vector too. A rate whose denominator is 0 is NaN unless its property documents
    another value. "Positive" is AFIB.
    """

    hits: Floats  # AFIB, called AFIB
    misses: Floats  # AFIB, called normal
    false_alarms: Floats  # normal, called AFIB
    rejections: Floats  # normal, called normal

    @property
    def segments(self) -> Floats:
        """All segments."""
        return self.hits + self.misses + self.false_alarms + self.rejections

    @property
    def afib(self) -> Floats:
        """The segments that are AFIB."""
        return self.hits + self.misses

    @property
    def accuracy(self) -> Floats:
        """The share classified correctly."""
        return ratio(self.hits + self.rejections, self.segments, empty=np.nan)

    @property
    def precision(self) -> Floats:
        """The share of AFIB among segments called AFIB; 0 if there are none, as in scikit-learn."""
        return ratio(self.hits, self.hits + self.false_alarms, empty=0.0)

    @property
    def recall(self) -> Floats:
        """The share of AFIB that was called AFIB; 0 if there is none, as in scikit-learn."""
        return ratio(self.hits, self.afib, empty=0.0)

    @property
    def specificity(self) -> Floats:
        """The share of other rhythms that was not called AFIB; NaN if there is none."""
        return ratio(self.rejections, self.rejections + self.false_alarms, empty=np.nan)

    def fbeta(self, beta: float) -> Floats:
        """F-beta; 0 if there is no AFIB and none was called, as in scikit-learn."""
        weight = 1 + beta**2
        bottom = weight * self.hits + beta**2 * self.misses + self.false_alarms
        return ratio(weight * self.hits, bottom, empty=0.0)

    def pooled(self) -> "Confusion":
        """Return the sum over all subjects, as vectors of one entry."""
        return self.resampled(np.ones((1, self.hits.size)))

    def resampled(self, times: Floats) -> "Confusion":
        """Return the pooled counts of each resample; `times` [resamples, subjects] is how often
        a resample contains each subject."""
        return Confusion(
            hits=times @ self.hits,
            misses=times @ self.misses,
            false_alarms=times @ self.false_alarms,
            rejections=times @ self.rejections,
        )


def count_by_group(
    group: NDArray[np.int64], groups: int, positive: NDArray[np.bool_], called: NDArray[np.bool_]
) -> Confusion:
    """Count the calls in each of `groups` groups; `group` [n] is the group of each segment."""
    cell = 2 * positive + called
    counts = np.bincount(4 * group + cell, minlength=4 * groups).reshape(groups, 4).astype(float)
    return Confusion(
        rejections=counts[:, 0],
        false_alarms=counts[:, 1],
        misses=counts[:, 2],
        hits=counts[:, 3],
    )


def ratio(top: Floats, bottom: Floats, *, empty: float) -> Floats:
    """Return `top` / `bottom`, or `empty` where that would divide by 0."""
    share: Floats = np.divide(top, bottom, out=np.full(top.shape, empty), where=bottom > 0)
    return share


def or_none(rate: float) -> float | None:
    """Return a rate, None if it is not defined."""
    return None if math.isnan(rate) else float(rate)
