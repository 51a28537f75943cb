"""The short form of `tests.benchmarks.search.compare`: ATML's search is not behind plain Optuna's."""

import warnings

import numpy as np
import optuna
import pytest

from tests.benchmarks.search import searchers
from tests.benchmarks.search.compare import fbeta_of, hypervolume
from tests.benchmarks.search.searchers import shipped
from tests.benchmarks.search.table import load

SEEDS = range(5)
MINUTES = 4
SIZES = (4_000, 8_000, 16_000, 43_000)


@pytest.fixture(scope="module")
def table():
    return load()


@pytest.fixture(scope="module")
def results(table):
    """Return {search: [(regret at each size, hypervolume) a seed]}, the same on every machine."""
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    found = {}
    for search in (searchers.atml, searchers.joint_tpe):
        found[search] = []
        for seed in SEEDS:
            shown = search(table, seed, 2, MINUTES * 60)
            points = [shipped(shown, limit, MINUTES * 60) for limit in SIZES]
            regret = [
                table.best(limit) - fbeta_of(table, point) for limit, point in zip(SIZES, points, strict=True)
            ]
            found[search].append((regret, hypervolume(table, shown, MINUTES * 60)))
    return found


def median(results, search, figure):
    return np.median([np.mean(one[figure]) for one in results[search]])


def test_its_regret_is_no_larger_than_that_of_one_joint_study(results):
    assert median(results, searchers.atml, 0) <= median(results, searchers.joint_tpe, 0)


def test_its_hypervolume_is_no_smaller(results):
    assert median(results, searchers.atml, 1) >= median(results, searchers.joint_tpe, 1)


def test_a_search_is_the_same_for_the_same_seed(table):
    one, again = (searchers.atml(table, 3, 2, 60) for _ in range(2))
    assert [(s.point, s.seconds) for s in one] == [(s.point, s.seconds) for s in again]
