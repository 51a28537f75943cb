"""A Gaussian process over a study's grid, fitted to all results so far.

Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, chapter 2; over folds as in
Swersky, Snoek and Adams, Multi-Task Bayesian Optimization, 2013.
"""

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

# The logarithm of the error is undefined at F-beta 1, and below .4 all points are equally useless.
SMALLEST_ERROR, LARGEST_ERROR = 0.004, 0.6
JITTER = 1e-8
NEGLIGIBLE = 4.0  # standard deviations


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """Prior variances of the logarithm of the error 1 - F-beta, and the distances over which it changes.

    The defaults are close to the maximum likelihood for an earlier table of `tests/benchmarks/search`.
    """

    architecture: float = 0.026
    size: float = 0.028
    architecture_size: float = 0.004
    rate: float = 0.031
    architecture_rate: float = 0.01
    point: float = 0.002  # independent between points
    fold: float = 0.1  # some subjects are easy, others hard
    architecture_fold: float = 0.034  # an architecture may suit some subjects
    fit: float = 0.0045  # independent between fits
    size_doublings: float = 0.42
    rate_doublings: float = 1.7


@dataclass(frozen=True, kw_only=True, eq=False)
class Posterior:
    """The posterior of every point's mean over folds, as minus the logarithm of the error 1 - F-beta."""

    mean: Floats  # [points] higher is better
    prior: Floats  # [points, points] covariance before any fit
    whitened: Floats  # [fits, points] the fits reduce it by `whitened.T @ whitened`

    def may_beat(self, leader: int) -> NDArray[np.bool_]:
        """Return [points] which points a draw may place above point `leader`, but for one draw in 30,000."""
        own = self.whitened[:, leader]
        covariance = self.prior[leader] - own @ self.whitened
        variance = np.diag(self.prior) - np.einsum("fp,fp->p", self.whitened, self.whitened)
        spread = np.sqrt(np.maximum(variance + variance[leader] - 2 * covariance, 0.0))
        may_beat: NDArray[np.bool_] = self.mean - self.mean[leader] >= -NEGLIGIBLE * spread
        return may_beat

    def covariance(self, points: Indices) -> Floats:
        """Return the covariance [n, n] of `points` [n]."""
        whitened = self.whitened[:, points]
        return self.prior[np.ix_(points, points)] - whitened.T @ whitened

    def draw_of(self, points: Indices, random: np.random.Generator, count: int = 1) -> Floats:
        """Return `count` joint draws [count, len(points)] of some points."""
        root = np.linalg.cholesky(self.covariance(points) + JITTER * np.eye(len(points)))
        normal = random.standard_normal((count, len(points)))
        return self.mean[points] + normal @ root.T


class Surrogate:
    """Predicts the points of a grid from fits of some of them on some folds.

    Args:
        architecture: [points] index of the architecture.
        onnx_bytes: [points]
        learning_rate: [points]
        folds: Number of folds.
    """

    def __init__(
        self, architecture: Indices, onnx_bytes: Indices, learning_rate: Floats, *, folds: int
    ) -> None:
        self._kernel = k = Kernel()
        same = (architecture[:, None] == architecture[None, :]).astype(float)
        size = _bell(np.log2(onnx_bytes), k.size_doublings)
        rate = _bell(np.log2(learning_rate), k.rate_doublings)
        own = np.eye(len(architecture))
        self._shared = (
            k.architecture * same
            + k.size * size
            + k.architecture_size * same * size
            + k.rate * rate
            + k.architecture_rate * same * rate * size
            + k.point * own
        )
        self._within_fold = k.architecture_fold * same * size * rate
        # Every fold contributes 1/folds to the mean. A fold's difficulty is left out, since it is the same
        # for all points.
        self._prior = self._shared + (self._within_fold + k.fit * own) / folds
        self._turn = threading.Lock()
        self._forget()

    def posterior(self, point: Indices, fold: Indices, fbeta: Floats) -> Posterior:
        """Return the posterior of all points, given fits of `point` [n] on `fold` [n] with `fbeta` [n].

        The factorization is kept, so when a study grows, a new fit costs O(n²) instead of O(n³).
        """
        given = dict(zip(zip(point.tolist(), fold.tolist(), strict=True), fbeta.tolist(), strict=True))
        with self._turn:
            if not given.keys() >= self._known.keys():
                self._forget()
            self._learn([fit for fit in given if fit not in self._known])
            errors = np.clip([1 - given[fit] for fit in self._known], SMALLEST_ERROR, LARGEST_ERROR)
            values = -np.log(errors)
            level = float(np.median(values)) if len(values) else 0.0
            mean = level + solve_triangular(self._root, values - level, lower=True) @ self._whitened
            return Posterior(mean=mean, prior=self._prior, whitened=self._whitened)

    def _forget(self) -> None:
        self._known: dict[tuple[int, int], None] = {}  # (point, fold) of the fits, in the order of the rows
        self._root = np.empty((0, 0))  # Cholesky factor of their covariance
        self._whitened = np.empty((0, len(self._prior)))

    def _learn(self, fits: list[tuple[int, int]]) -> None:
        """Extend the Cholesky factor by some fits."""
        if not fits:
            return
        old, new = np.array([*self._known], int).reshape(-1, 2), np.array(fits)
        below = solve_triangular(self._root, self._covariance(old, new), lower=True).T
        noise = (self._kernel.fit + JITTER) * np.eye(len(new))
        corner = np.linalg.cholesky(self._covariance(new, new) + noise - below @ below.T)
        rest = self._prior[new[:, 0]] - below @ self._whitened
        self._root = np.block([[self._root, np.zeros((len(old), len(new)))], [below, corner]])
        self._whitened = np.vstack([self._whitened, solve_triangular(corner, rest, lower=True)])
        self._known |= dict.fromkeys(fits)

    def _covariance(self, some: Indices, others: Indices) -> Floats:
        """Return the covariance of fits, given as rows of (point, fold), without their noise."""
        both = np.ix_(some[:, 0], others[:, 0])
        same_fold = some[:, 1, None] == others[:, 1]
        covariance: Floats = self._shared[both] + same_fold * (self._within_fold[both] + self._kernel.fold)
        return covariance


def _bell(positions: Floats, length: float) -> Floats:
    """Return the squared-exponential kernel of positions on a line."""
    return np.exp(-0.5 * ((positions[:, None] - positions[None, :]) / length) ** 2)
