import numpy as np
import pytest

from atml.evaluation import evaluate, predictive_values
from atml.evaluation.predictive import counts_of


def measured(labels, called, subjects):
    return evaluate(labels, called, subjects, subjects, threshold=0.5, bootstrap=0)


# Sensitivity .8, specificity .9.
LABELS = np.repeat([1, 1, 0, 0], [8, 2, 1, 9])
CALLED = np.repeat([1, 0, 1, 0], [8, 2, 1, 9])


def test_predictive_values_follow_from_bayes_rule():
    metrics = measured(LABELS, CALLED, list("ABCDEF") * 3 + ["A", "D"])
    (one,) = predictive_values(metrics, [0.1])
    assert one.positive == pytest.approx(0.08 / (0.08 + 0.09))
    assert one.negative == pytest.approx(0.81 / (0.81 + 0.02))
    assert one.positive_interval[0] <= one.positive <= one.positive_interval[1]
    assert one.negative_interval[0] <= one.negative <= one.negative_interval[1]


def test_at_the_prevalence_of_the_data_the_positive_value_is_the_precision():
    metrics = measured(LABELS, CALLED, ["S1", "S2"] * 10)
    (one,) = predictive_values(metrics, [0.5])
    assert one.positive == pytest.approx(metrics.precision)


def test_few_subjects_give_no_interval():
    (one,) = predictive_values(measured(LABELS, CALLED, list("ABCDE") * 4), [0.1])
    assert (one.positive_interval, one.negative_interval) == (None, None)


def test_subjects_that_agree_leave_no_uncertainty_and_others_do():
    labels, called = np.tile(LABELS, 6), np.tile(CALLED, 6)
    alike = predictive_values(measured(labels, called, np.repeat(list("ABCDEF"), 20)))[0]
    assert alike.positive_interval == pytest.approx((alike.positive, alike.positive))
    unlike = predictive_values(measured(labels, called, np.tile(list("ABCDEFABCDEFABCDEFAB"), 6)))[0]
    assert unlike.positive_interval[1] - unlike.positive_interval[0] > 0.01


def test_counts_are_recovered_from_the_rates_of_each_subject():
    labels, called = np.array([1, 1, 1, 0, 0, 1, 0, 0]), np.array([1, 1, 0, 1, 0, 0, 0, 0])
    counts = counts_of(measured(labels, called, ["A", "A", "A", "A", "A", "B", "C", "C"]))
    assert [counts.hits.tolist(), counts.misses.tolist()] == [[2, 0, 0], [1, 1, 0]]
    assert [counts.false_alarms.tolist(), counts.rejections.tolist()] == [[1, 0, 0], [1, 0, 2]]


def test_one_class_has_no_predictive_values():
    assert predictive_values(measured([1, 1], [1, 0], ["A", "B"])) == ()
    assert predictive_values(measured([0, 0], [1, 0], ["A", "B"])) == ()


def test_a_model_that_never_says_afib_has_no_positive_value():
    (one,) = predictive_values(measured([1, 0], [0, 0], ["A", "B"]), [0.1])
    assert (one.positive, one.positive_interval) == (None, None)
    assert one.negative == pytest.approx(0.9)
