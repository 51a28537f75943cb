"""Comparing two models on the same subjects."""

from dataclasses import replace

import numpy as np
import pytest

from atml.evaluation import FoldCounts, chance_to_be_better
from atml.evaluation.estimate import THRESHOLDS


def fold(hits, *, subjects=None, alarms=0):
    """Return counts of subjects with 10 AFIB and 10 other segments, of which `hits` are found."""
    hits = np.asarray(hits)
    names = subjects or [f"S{number}" for number in range(len(hits))]
    wide = np.ones((1, len(THRESHOLDS)), np.int64)
    tens = np.full(len(hits), 10)
    return FoldCounts(
        subjects=tuple(names),
        afib=tens,
        other=tens,
        hits=hits[:, None] * wide,
        false_alarms=np.full((len(hits), 1), alarms) * wide,
    )


def chance(one, other):
    return chance_to_be_better(one, other, thresholds=(0.2, 0.5))


def test_equal_models_are_each_better_in_half_of_the_resamples():
    assert chance([fold([5, 9, 7])], [fold([5, 9, 7])]) == 0.5


def test_one_that_is_better_on_every_subject_is_better_for_sure():
    assert chance([fold([6, 9, 8])], [fold([5, 8, 7])]) == 1.0
    assert chance([fold([5, 8, 7])], [fold([6, 9, 8])]) == 0.0


def test_one_that_is_better_on_a_few_subjects_alone_may_not_be_better():
    better_on_one = chance([fold([10, 4, 5, 5, 5, 5])], [fold([5, 5, 5, 5, 5, 5])])
    assert 0.5 < better_on_one < 0.9


def test_a_long_recording_weighs_as_much_as_a_short_one():
    long, short = fold([50]), fold([5], subjects=["S1"])
    long = replace(long, afib=long.afib * 10, other=long.other * 10)
    better_on_short = [replace(long, hits=long.hits - 10), replace(short, hits=short.hits + 1)]
    assert chance([long, short], better_on_short) == pytest.approx(0.5, abs=0.05)


def test_false_alarms_count():
    assert chance([fold([9, 9], alarms=0)], [fold([9, 9], alarms=3)]) == 1.0


def test_folds_of_the_same_subjects_are_added_up():
    split = [fold([6], subjects=["S0"]), fold([4], subjects=["S1"])]
    whole = [fold([5, 5])]
    assert chance([*split, *split], [*whole, *whole]) == pytest.approx(0.5, abs=0.05)


def test_other_subjects_are_refused():
    with pytest.raises(ValueError, match="the same subjects"):
        chance([fold([5])], [fold([5], subjects=["S9"])])
