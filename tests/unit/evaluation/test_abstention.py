import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atml.evaluation import abstain, confidence, evaluate, least_confidence_for, trade_off


def scored(segments=2000, seed=0):
    rng = np.random.default_rng(seed)
    labels = (rng.random(segments) < 0.4).astype(int)
    scores = np.clip(0.3 + 0.35 * labels + 0.2 * rng.normal(size=segments), 0, 1)
    return labels, scores, rng.choice(["S1", "S2", "S3"], segments), np.where(labels, "AFIB", "N")


def test_confidence_is_half_at_the_threshold_and_the_same_at_the_same_distance_on_both_sides():
    assert confidence([0.1, 0.01, 0.55], 0.1) == pytest.approx([0.5, 11 / 12, 11 / 12])
    assert confidence([0.0, 1.0], 0.5) == pytest.approx([1, 1])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.floats(0.01, 1), st.floats(0.05, 0.95))
def test_at_least_the_wanted_share_gets_an_answer(scores, coverage, threshold):
    least = least_confidence_for(scores, threshold, coverage)
    answered = confidence(scores, threshold) >= least
    assert answered.mean() >= coverage - 1e-9
    # and no more than needed, but for scores that tie with the last one
    above = confidence(scores, threshold) > least
    assert above.mean() < coverage or coverage == 1


def test_answering_everything_is_the_usual_evaluation():
    labels, scores, subjects, rhythms = scored()
    found = abstain(labels, scores, subjects, rhythms, threshold=0.4, least_confidence=0.5)
    assert (found.coverage, found.subject_coverage) == (1, 1)
    assert found.metrics == evaluate(labels, scores, subjects, rhythms, threshold=0.4, bootstrap=0)


def test_with_less_coverage_the_answers_are_better():
    found = trade_off(*scored(), threshold=0.45, coverages=(1.0, 0.8, 0.5))
    assert [one.coverage for one in found] == pytest.approx([1, 0.8, 0.5], abs=0.01)
    fbetas = [one.metrics.fbeta for one in found]
    assert fbetas == sorted(fbetas)
    assert fbetas[0] < fbetas[-1]


def test_the_subject_with_the_fewest_answers_is_reported():
    labels, scores = [1, 0, 1, 0], [0.99, 0.01, 0.5, 0.6]
    found = abstain(labels, scores, ["A", "A", "B", "B"], ["N"] * 4, threshold=0.5, least_confidence=0.9)
    assert (found.coverage, found.subject_coverage) == (0.5, 0)
    assert (found.metrics.segments, found.metrics.accuracy) == (2, 1)


def test_full_coverage_answers_scores_that_were_not_known_too():
    assert least_confidence_for([0.01, 0.99], 0.5, 1.0) == 0.5


def test_without_an_answer_there_are_no_metrics():
    found = abstain([1, 0], [0.5, 0.5], ["A", "A"], ["N"] * 2, threshold=0.5, least_confidence=0.6)
    assert (found.coverage, found.metrics) == (0, None)


@pytest.mark.parametrize("wrong", [0.49, 1.01, float("nan")])
def test_a_confidence_below_a_half_or_above_one_is_refused(wrong):
    with pytest.raises(ValueError, match=r"least_confidence must be from \.5 to 1"):
        abstain([1, 0], [0.5, 0.5], ["A", "A"], ["N"] * 2, threshold=0.5, least_confidence=wrong)


@pytest.mark.parametrize("wrong", [0, -0.1, 1.1, float("nan")])
def test_a_coverage_that_is_no_share_is_refused(wrong):
    with pytest.raises(ValueError, match="coverage must be above 0 and at most 1"):
        least_confidence_for([0.5], 0.5, wrong)
