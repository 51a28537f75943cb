"""What all fits so far say about every point of a study: a Gaussian process over the grid.

Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, chapter 2; over folds as in
Swersky, Snoek and Adams, Multi-Task Bayesian Optimization, 2013.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

# F-beta of 1 has no logarithm of its error, and below .4 all points are equally useless.
SMALLEST_ERROR, LARGEST_ERROR = 0.004, 0.6
JITTER = 1e-8


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """Prior variances of the logarithm of the error 1 - F-beta, and the distances over which it changes.

    The defaults are about the most likely ones for the fits of `tests/benchmarks/search`.
    """

    architecture: float = 0.04
    size: float = 0.04
    architecture_size: float = 0.01
    rate: float = 0.07
    architecture_rate: float = 0.04
    point: float = 0.005  # what no other point tells
    fold: float = 0.1  # some subjects are easy, others hard
    architecture_fold: float = 0.02  # an architecture may suit some subjects
    fit: float = 0.0125  # what no other fold tells
    size_doublings: float = 1.0
    rate_doublings: float = 1.7


@dataclass(frozen=True, kw_only=True)
class Posterior:
    """What is believed of the mean over folds of every point, in F-beta's own units where it says so."""

    mean: Floats  # [points] minus the logarithm of the error: more is better
    covariance: Floats  # [points, points]

    def fbeta(self) -> Floats:
        """Return the expected F-beta [points]."""
        return 1 - np.exp(-self.mean)

    def draw_of(self, points: Indices, random: np.random.Generator, count: int = 1) -> Floats:
        """Return `count` joint draws [count, len(points)] of some points."""
        covariance = self.covariance[np.ix_(points, points)] + JITTER * np.eye(len(points))
        normal = random.standard_normal((count, len(points)))
        return self.mean[points] + normal @ np.linalg.cholesky(covariance).T


class Surrogate:
    """Predicts points of a grid from fits of some of them on some folds.

    Args:
        architecture: [points] index of the architecture.
        onnx_bytes: [points]
        learning_rate: [points]
        folds: How many folds there are.
        kernel: Prior variances.
    """

    def __init__(
        self,
        architecture: Indices,
        onnx_bytes: Indices,
        learning_rate: Floats,
        *,
        folds: int,
        kernel: Kernel | None = None,
    ) -> None:
        self._folds = folds
        self._kernel = kernel or Kernel()
        k = self._kernel
        same = (architecture[:, None] == architecture[None, :]).astype(float)
        size = _bell(np.log2(onnx_bytes), k.size_doublings)
        rate = _bell(np.log2(learning_rate), k.rate_doublings)
        self._shared = (
            k.architecture * same
            + k.size * size
            + k.architecture_size * same * size
            + k.rate * rate
            + k.architecture_rate * same * rate * size
            + k.point * np.eye(len(architecture))
        )
        self._within_fold = k.architecture_fold * same * size * rate

    def posterior(self, point: Indices, fold: Indices, fbeta: Floats) -> Posterior:
        """Return what fits of `point` [n] on `fold` [n] with these `fbeta` [n] say about all points."""
        if len(point) == 0:
            spread = self._shared + self._within_fold / self._folds
            return Posterior(mean=np.zeros(len(self._shared)), covariance=spread)
        k = self._kernel
        values = -np.log(np.clip(1 - fbeta, SMALLEST_ERROR, LARGEST_ERROR))
        level = float(np.median(values))
        same_fold = fold[:, None] == fold[None, :]
        observed = self._shared[np.ix_(point, point)] + same_fold * (
            self._within_fold[np.ix_(point, point)] + k.fold
        )
        observed += (k.fit + JITTER) * np.eye(len(point))
        # Every fold is 1/folds of the mean that is asked for. A fold's own difficulty is left out of it:
        # it is the same for all points.
        to_all = self._shared[:, point] + self._within_fold[:, point] / self._folds
        to_all = to_all + (k.fit / self._folds) * (np.arange(len(self._shared))[:, None] == point[None, :])
        prior = (
            self._shared + self._within_fold / self._folds + (k.fit / self._folds) * np.eye(len(self._shared))
        )
        root = np.linalg.cholesky(observed)
        half = np.linalg.solve(root, to_all.T)
        mean = level + half.T @ np.linalg.solve(root, values - level)
        return Posterior(mean=mean, covariance=prior - half.T @ half)


def _bell(positions: Floats, length: float) -> Floats:
    """Return the squared-exponential kernel of positions on a line."""
    bell: Floats = np.exp(-0.5 * ((positions[:, None] - positions[None, :]) / length) ** 2)
    return bell
