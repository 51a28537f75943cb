import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState

from atml.tuning.ranking import best_within, contenders, front, leaders, rank, tied
from atml.tuning.spec import TargetsSpec
from tests.conftest import recorded_trial

PRUNED, RUNNING, FAIL = TrialState.PRUNED, TrialState.RUNNING, TrialState.FAIL
# Four folds, hard and easy: the spread over them is far larger than what tells two models apart.
HARD = (0.80, 0.95, 0.85, 0.99)


@pytest.fixture
def among(make_trial):
    """Return the contenders among trials given as (F-beta by fold, ONNX bytes), or as whole trials."""

    def make(*trials):
        study = optuna.create_study()
        for one in trials:
            if isinstance(one, tuple):
                one = make_trial(by_fold=one[0], onnx_bytes=one[1])
            study.add_trial(one)
        return contenders(study.trials)

    return make


def moved(by, *, fold=None):
    """Return HARD with one fold, or all, moved."""
    return tuple(value + by * (fold is None or fold == at) for at, value in enumerate(HARD))


def numbers(contenders):
    return [one.trial.number for one in contenders]


class TestContenders:
    def test_those_that_finished_the_race_are_ranked(self, among, make_trial):
        further = make_trial(state=PRUNED, by_fold=(0.99, 0.99), pruned_by="race")
        assert numbers(among(further, (HARD, 1000), make_trial(state=RUNNING, by_fold=(0.9,)))) == [1]

    def test_before_one_has_finished_those_that_came_furthest_are(self, among, make_trial):
        trials = [
            make_trial(state=PRUNED, by_fold=by_fold, pruned_by=by)
            for by_fold, by in (
                ((0.9,), "race"),
                ((0.7, 0.7), "stopped"),
                ((0.8, 0.8), "race"),
                (None, "size"),
            )
        ]
        assert numbers(among(*trials, make_trial(state=FAIL, by_fold=(0.9,) * 3))) == [1, 2]

    @pytest.mark.parametrize("by", ["error", "diverged"])
    def test_one_that_makes_no_model_is_none(self, among, make_trial, by):
        broken = make_trial(state=PRUNED, by_fold=(0.9, 0.9), pruned_by=by)
        assert numbers(among(broken, make_trial(state=PRUNED, by_fold=(0.5,), pruned_by="race"))) == [1]

    def test_without_a_fold_there_are_none(self, among, make_trial):
        assert among(make_trial(state=PRUNED, pruned_by="neighbourhood")) == []
        assert rank([], TargetsSpec()) == []


class TestRank:
    def test_the_best_comes_first(self, among):
        found = among((moved(-0.05), 1000), (HARD, 4000), (moved(-0.02), 2000))
        assert numbers(rank(found, TargetsSpec())) == [1, 2, 0]

    def test_of_those_not_told_apart_the_smallest_leads(self, among):
        # The same but for one fold: the mean differs by no more than its own standard error.
        found = among((moved(0.004, fold=2), 4000), (HARD, 2000), (moved(-0.05), 1000))
        assert tied(found[0], found[1])
        assert numbers(rank(found, TargetsSpec())) == [1, 0, 2]

    def test_a_small_difference_on_every_fold_is_a_difference(self, among):
        found = among((moved(0.004), 4000), (HARD, 2000))
        assert not tied(*found)
        assert numbers(rank(found, TargetsSpec())) == [0, 1]

    def test_one_fold_ties_nobody(self, among):
        assert numbers(rank(among(((0.9,), 1000), ((0.901,), 4000)), TargetsSpec())) == [1, 0]

    def test_those_that_are_small_enough_come_before_those_that_are_not(self, among):
        found = among((moved(0.02), 2400), (moved(-0.1), 1000), (HARD, 2000), (moved(0.01), 3000))
        assert numbers(rank(found, TargetsSpec(onnx_bytes=2000))) == [2, 1, 0, 3]

    def test_a_tie_is_no_reason_to_prefer_what_is_too_large(self, among):
        found = among((moved(0.004, fold=2), 4000), (HARD, 2000))
        assert numbers(rank(found, TargetsSpec(onnx_bytes=3000))) == [1, 0]

    def test_the_smallest_that_meets_both_targets_leads_and_the_others_follow_by_what_they_miss(self, among):
        trials = (
            ((0.99,), 1500),  # half too large
            ((0.91,), 990),  # meets both
            ((0.95,), 980),  # meets both and is smaller
            ((0.81,), 500),  # a tenth short
            ((0.855,), 1060),  # a twentieth short, and 6 % too large
        )
        targets = TargetsSpec(fbeta=0.9, onnx_bytes=1000)
        assert numbers(rank(among(*trials), targets)) == [2, 1, 3, 4, 0]


class TestFront:
    @given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5)), max_size=12))
    def test_it_holds_exactly_what_no_other_beats(self, points):
        trials = [recorded_trial(by_fold=(fbeta / 5,), onnx_bytes=size) for fbeta, size in points]
        kept = [(round(one.fbeta * 5), one.onnx_bytes) for one in front(contenders(trials))]

        def beaten(point):
            return any(f >= point[0] and s <= point[1] and (f, s) != point for f, s in points)

        assert kept == sorted({point for point in points if not beaten(point)}, key=lambda point: point[1])

    def test_the_best_within_a_size_is_the_smaller_of_equals(self, among):
        found = among(((0.9,), 2000), ((0.9,), 1000), ((0.95,), 3000))
        assert best_within(found, 2500).trial.number == 1
        assert best_within(found, 3000).trial.number == 2
        assert best_within(found, 999) is None


class TestLeaders:
    def test_the_first_by_the_targets_and_the_best_within_each_size(self, among):
        found = among(
            (HARD, 4000), (moved(-0.01), 2000), (moved(-0.02), 1000), (moved(-0.03), 900), (moved(0.01), 8000)
        )
        assert numbers(leaders(found, TargetsSpec(), [1000, 2000], 1)) == [4, 2, 1]
        assert numbers(leaders(found, TargetsSpec(onnx_bytes=4000), [4000, 999], 2)) == [0, 1, 3]
