import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atml.tuning.surrogate import Kernel, Surrogate

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


def prior(one, other, *, same_fold):
    """The covariance of the log errors of two points in a fold, or in two, without the folds' difficulty."""
    k = Kernel()
    same = ARCHITECTURE[one] == ARCHITECTURE[other]
    size = np.exp(-(np.log2(BYTES[one] / BYTES[other]) ** 2) / (2 * k.size_doublings**2))
    rate = np.exp(-(np.log2(RATE[one] / RATE[other]) ** 2) / (2 * k.rate_doublings**2))
    shared = k.size * size + k.rate * rate + k.point * (one == other)
    shared += same * (k.architecture + k.architecture_size * size + k.architecture_rate * rate * size)
    return shared + same_fold * (k.architecture_fold * same * size * rate + k.fit * (one == other))


def test_the_posterior_is_that_of_a_gaussian_process(surrogate):
    random = np.random.default_rng(1)
    fits = [(int(point), fold) for point in random.permutation(len(BYTES))[:8] for fold in (0, 2)]
    fbeta = random.uniform(0.7, 0.97, len(fits))
    posterior = told(surrogate, *((*fit, value) for fit, value in zip(fits, fbeta, strict=True)))
    observed = [[prior(p, q, same_fold=f == g) + Kernel().fold * (f == g) for q, g in fits] for p, f in fits]
    everywhere = range(len(BYTES))
    # The mean over four folds: a fit shares its fold with a quarter of it.
    fold_mean = [[prior(p, q, same_fold=0.25) for q in everywhere] for p in everywhere]
    crossed = np.array([fold_mean[p] for p, _ in fits])
    weights = np.linalg.solve(observed, crossed).T
    values = -np.log(1 - fbeta)
    expected = np.median(values) + weights @ (values - np.median(values))
    assert posterior.mean == pytest.approx(expected, abs=1e-6)
    assert posterior.covariance(np.array(everywhere)) == pytest.approx(
        fold_mean - weights @ crossed, abs=1e-6
    )


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


@given(st.permutations(range(len(BYTES))), st.integers(1, 12), st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_a_study_that_grows_gives_the_same_posterior_as_one_that_is_read_at_once(order, count, step):
    fits = [(point, fold, 0.6 + 0.01 * point) for point in order[:count] for fold in range(2)]
    grown = Surrogate(ARCHITECTURE, BYTES, RATE, folds=4)
    for end in range(step, len(fits) + step, step):
        posterior = told(grown, *sorted(fits[:end]))
    whole = told(Surrogate(ARCHITECTURE, BYTES, RATE, folds=4), *fits)
    everywhere = np.arange(len(BYTES))
    assert posterior.mean == pytest.approx(whole.mean, abs=1e-9)
    assert posterior.covariance(everywhere) == pytest.approx(whole.covariance(everywhere), abs=1e-9)


def test_another_study_on_the_same_grid_starts_anew(surrogate):
    told(surrogate, (at(0, 8_000, 2), 0, 0.97), (at(1, 8_000, 2), 0, 0.6))
    other = told(surrogate, (at(0, 4_000, 1), 3, 0.9))
    alone = told(Surrogate(ARCHITECTURE, BYTES, RATE, folds=4), (at(0, 4_000, 1), 3, 0.9))
    assert other.mean == pytest.approx(alone.mean, abs=1e-12)


def test_what_may_beat_the_leader_is_all_that_is_ever_drawn_above_it(surrogate):
    fits = [
        (at(0, size, rung), fold, 0.95) for size in (8_000, 16_000) for rung in (1, 2) for fold in range(4)
    ]
    bad = [
        (at(1, size, rung), fold, 0.5) for size in (4_000, 8_000) for rung in range(5) for fold in range(4)
    ]
    posterior = told(surrogate, *fits, *bad)
    may_beat = posterior.may_beat(int(posterior.mean.argmax()))
    draws = posterior.draw_of(np.arange(len(BYTES)), np.random.default_rng(0), 5_000)
    assert may_beat[draws.argmax(axis=1)].all()
    assert not may_beat[[point for point, _, _ in bad]].any()
