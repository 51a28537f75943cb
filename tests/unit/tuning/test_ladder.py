import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atml.tuning.ladder import LearningRateLadder

SCALES = st.sampled_from(["log", "linear"])


@given(low=st.floats(1e-6, 1.0), factor=st.floats(1.0, 1e4), steps=st.integers(1, 40), scale=SCALES)
def test_any_accepted_ladder_rises_from_low_to_high_in_its_number_of_steps(low, factor, steps, scale):
    try:
        ladder = LearningRateLadder(low=low, high=low * factor, steps=steps, scale=scale)
    except ValueError:
        return
    assert len(ladder.values) == steps
    assert (ladder.values[0], ladder.values[-1]) == (low, low * factor if steps > 1 else low)
    assert all(below < above for below, above in itertools.pairwise(ladder.values))
    for index, value in enumerate(ladder.values):
        assert ladder.rung(value) == index


@given(rate=st.floats(1e-7, 10.0), scale=SCALES)
def test_any_learning_rate_is_counted_at_the_nearest_rung_on_the_ladders_scale(rate, scale):
    ladder = LearningRateLadder(low=1e-4, high=1e-1, steps=7, scale=scale)
    project = math.log if scale == "log" else float
    distance = abs(project(ladder.values[ladder.rung(rate)]) - project(rate))
    assert all(distance <= abs(project(value) - project(rate)) + 1e-12 for value in ladder.values)


def test_rungs_are_rounded_so_that_people_can_type_them():
    ladder = LearningRateLadder(low=5e-4, high=3e-2, steps=9)
    assert ladder.values == (5e-4, 8.34e-4, 1.39e-3, 2.32e-3, 3.87e-3, 6.46e-3, 1.08e-2, 1.8e-2, 3e-2)


@pytest.mark.parametrize(("scale", "middle"), [("log", 0.01), ("linear", 0.0505)])
def test_the_scale_decides_which_learning_rate_is_in_the_middle(scale, middle):
    ladder = LearningRateLadder(low=1e-3, high=1e-1, steps=3, scale=scale)
    assert ladder.values[1] == middle
    # 0.04 is nearer to 0.01 than to 0.1 by difference, and nearer to 0.1 by ratio.
    assert LearningRateLadder(low=1e-2, high=1e-1, steps=2, scale=scale).rung(0.04) == (scale == "log")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"low": 0.0, "high": 1.0}, r"`low` and `high` must be 0 < low <= high but got 0.0 and 1.0"),
        ({"low": 0.1, "high": 0.01}, r"0 < low <= high but got 0.1 and 0.01"),
        ({"low": math.nan, "high": 0.01}, r"0 < low <= high"),
        ({"low": 0.1, "high": math.inf}, r"0 < low <= high"),
        ({"low": 0.1, "high": 1.0, "steps": 0}, r"`steps` must be 1 .* but got 0"),
        ({"low": 0.1, "high": 1.0, "steps": 1}, r"`steps` must be 1 .* but got 1"),
        ({"low": 0.1, "high": 0.1, "steps": 3}, r"`steps` must be 1 .* but got 3"),
        ({"low": 0.1, "high": 0.10001, "steps": 5}, r"rungs coincide at 5"),
        # Rounded to three digits, the rung between these two lies below both.
        ({"low": 0.0123456, "high": 0.012346, "steps": 3}, r"rungs coincide at 3"),
    ],
)
def test_senseless_ladder_is_refused_with_its_numbers(fields, message):
    with pytest.raises(ValueError, match=message):
        LearningRateLadder(**fields)


def test_one_learning_rate_is_a_ladder_of_one_rung():
    ladder = LearningRateLadder(low=0.01, high=0.01, steps=1)
    assert ladder.values == (0.01,)
    assert ladder.rung(1e-5) == ladder.rung(1.0) == 0
