import numpy as np
import pytest

from atml.tuning.surrogate import Surrogate

# Two architectures, three sizes, five learning rates.
RATES = 0.004 * 2.2 ** np.arange(5)
ARCHITECTURE, BYTES, RATE = (
    axis.ravel() for axis in np.meshgrid([0, 1], [4_000, 8_000, 16_000], RATES, indexing="ij")
)


def at(architecture, onnx_bytes, rung):
    return int(
        np.flatnonzero((architecture == ARCHITECTURE) & (onnx_bytes == BYTES) & (RATES[rung] == RATE))[0]
    )


@pytest.fixture
def surrogate():
    return Surrogate(ARCHITECTURE, BYTES, RATE, folds=4)


def told(surrogate, *fits):
    points, folds, fbeta = zip(*fits, strict=True)
    return surrogate.posterior(np.array(points), np.array(folds), np.array(fbeta))


def test_what_was_trained_is_believed_more_with_every_fold(surrogate):
    point = at(0, 8_000, 2)
    others = [(at(1, 8_000, 2), fold, 0.93) for fold in range(4)]
    spread = []
    for folds in range(1, 5):
        posterior = told(surrogate, *others, *((point, fold, 0.95) for fold in range(folds)))
        spread.append(posterior.covariance(np.array([point]))[0, 0])
    assert spread == sorted(spread, reverse=True)
    assert 1 - np.exp(-posterior.mean[point]) == pytest.approx(0.95, abs=0.006)


def test_a_point_teaches_most_about_its_neighbours(surrogate):
    good = at(0, 8_000, 2)
    posterior = told(surrogate, (good, 0, 0.97), (at(1, 8_000, 2), 0, 0.9))
    mean = posterior.mean
    assert mean[good] > mean[at(0, 8_000, 1)] > mean[at(0, 8_000, 0)] > mean[at(1, 8_000, 2)]
    assert mean[at(0, 16_000, 2)] > mean[at(1, 16_000, 2)]


def test_a_hard_fold_is_not_held_against_the_points_trained_on_it(surrogate):
    one, other = at(0, 8_000, 2), at(1, 8_000, 2)
    both_easy = [(one, 0, 0.95), (other, 0, 0.95)]
    posterior = told(surrogate, *both_easy, (one, 1, 0.80))
    # The second fold is hard: the point that was tried there is hardly the worse of the two.
    assert abs(posterior.mean[one] - posterior.mean[other]) < 0.35
    assert np.log(0.20 / 0.05) > 1.3  # what the same figures on one fold would mean


def test_without_a_fit_nothing_is_preferred(surrogate):
    posterior = surrogate.posterior(np.array([], int), np.array([], int), np.array([]))
    assert np.ptp(posterior.mean) == 0


def test_draws_have_the_posteriors_mean_and_spread(surrogate):
    posterior = told(surrogate, (at(0, 8_000, 2), 0, 0.95))
    points = np.array([at(0, 8_000, 2), at(1, 4_000, 0)])
    draws = posterior.draw_of(points, np.random.default_rng(0), 20_000)
    assert draws.mean(axis=0) == pytest.approx(posterior.mean[points], abs=0.02)
    assert np.cov(draws.T) == pytest.approx(posterior.covariance(points), abs=0.02)


def test_a_perfect_and_a_useless_network_are_finite(surrogate):
    posterior = told(surrogate, (0, 0, 1.0), (1, 0, 0.0))
    assert np.isfinite(posterior.mean).all()
    assert np.linalg.eigvalsh(posterior.covariance(np.arange(len(BYTES)))).min() > -1e-9
