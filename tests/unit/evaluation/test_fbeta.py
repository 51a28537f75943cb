import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import fbeta_score

from atml.evaluation import fbeta

labelled = st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=1, max_size=60)


@given(labelled, st.sampled_from([0.5, 1.0, 2.0]), st.floats(0, 1))
def test_fbeta_is_scikit_learns(pairs, beta, threshold):
    labels, scores = map(np.array, zip(*pairs, strict=True))
    expected = fbeta_score(labels, scores >= threshold, beta=beta, zero_division=0.0)
    assert fbeta(labels, scores, threshold=threshold, beta=beta) == pytest.approx(expected)


def test_recall_weighs_more_than_precision_by_default():
    a_false_alarm = fbeta([1, 1, 0], [0.9, 0.9, 0.9])
    a_miss = fbeta([1, 1, 0], [0.9, 0.1, 0.1])
    assert a_false_alarm > a_miss


def test_a_score_at_the_threshold_is_called():
    assert fbeta([1, 0], [0.5, 0.4], threshold=0.5) == 1.0


def test_nothing_to_find_and_nothing_called_is_zero():
    assert fbeta([0, 0], [0.1, 0.2]) == 0.0


@pytest.mark.parametrize(
    ("labels", "scores", "complaint"),
    [
        ([], [], "got 0 segments"),
        ([0, 1], [0.5], r"\(2,\) and \(1,\)"),
        ([0, 1], [0.5, float("nan")], "got nan at index 1"),
        ([0, 1], [float("inf"), 0.5], "got inf at index 0"),
        ([0, 2], [0.5, 0.5], "got .*2"),
        ([[0], [1]], [[0.5], [0.5]], "vectors"),
    ],
)
def test_a_bad_input_is_refused_with_what_was_given(labels, scores, complaint):
    with pytest.raises(ValueError, match=complaint):
        fbeta(labels, scores)


@pytest.mark.parametrize("beta", [0.0, -1.0, float("nan")])
def test_beta_must_be_positive(beta):
    with pytest.raises(ValueError, match="beta must be positive, but got"):
        fbeta([1], [1.0], beta=beta)
