import pytest

from atml.evaluation import contest_score


def test_a_perfect_entry_earns_the_80_measured_points():
    assert contest_score(1.0, 1.0, 0.5, 50.0) == pytest.approx(80)


def test_the_worst_ranked_entry_earns_none():
    assert contest_score(0.5, 0.5, 50.0, 1000.0) == pytest.approx(0)


@pytest.mark.parametrize(
    ("fbeta", "g", "latency_ms", "memory_kib", "points"),
    [
        (0.75, 1.0, 0.5, 50, 80 - 12.5),
        (1.0, 0.75, 0.5, 50, 80 - 7.5),
        (1.0, 1.0, 25.25, 50, 80 - 17.5),
        (1.0, 1.0, 0.5, 525, 80 - 2.5),
    ],
)
def test_half_of_the_way_in_one_figure_costs_half_of_its_points(fbeta, g, latency_ms, memory_kib, points):
    assert contest_score(fbeta, g, latency_ms, memory_kib) == pytest.approx(points)
