import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atml.evaluation import FoldCounts, best_threshold, estimate, evaluate, metrics_of_folds
from atml.evaluation.estimate import THRESHOLDS, fbeta_of_all_afib


def fold(seed=0, segments=400, subjects=4, quality=1.5):
    """Return labels, scores and subjects of a fold that a network of some quality was asked about."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, segments)
    scores = 1 / (1 + np.exp(-quality * (2 * labels - 1) - rng.normal(0, 1.2, segments)))
    names = np.array([f"S{seed}{index}" for index in rng.integers(0, subjects, segments)])
    return labels, scores, names


def counts(**fields):
    return FoldCounts.of(*fold(**fields))


@given(st.integers(0, 1000), st.sampled_from([0.5, 1.0, 2.0]))
def test_fbeta_at_a_threshold_is_that_of_segments_weighted_by_subject(seed, beta):
    labels, scores, subjects = fold(seed)
    _, subject, size = np.unique(subjects, return_inverse=True, return_counts=True)
    weight = 1 / size[subject]
    found = FoldCounts.of(labels, scores, subjects).fbeta(beta)
    for at, threshold in enumerate(THRESHOLDS):
        called = scores >= threshold
        hits = weight[called & (labels == 1)].sum()
        bottom = beta**2 * weight[labels == 1].sum() + weight[called].sum()
        assert found[at] == pytest.approx((1 + beta**2) * hits / bottom)


def test_a_score_at_the_threshold_is_afib():
    found = FoldCounts.of([1, 0], [THRESHOLDS[3]] * 2, ["a", "b"])
    assert (found.hits.sum(axis=0) == [1] * 4 + [0] * 8).all()
    assert (found.false_alarms == found.hits[::-1]).all()


@given(st.integers(1, 99), st.sampled_from([0.5, 1.0, 2.0]))
def test_calling_everything_afib(afib, beta):
    found = evaluate(
        [1] * afib + [0] * (100 - afib), [1] * 100, ["a"] * 100, ["N"] * 100, threshold=0.5, beta=beta
    )
    assert fbeta_of_all_afib(afib / 100, beta) == pytest.approx(found.fbeta)


def test_counts_survive_json():
    one = counts()
    again = FoldCounts.from_dict(json.loads(json.dumps(one.to_dict())))
    assert again.subjects == one.subjects
    for name in ("afib", "other", "hits", "false_alarms"):
        assert np.array_equal(getattr(again, name), getattr(one, name))


def test_an_estimate_is_the_mean_over_folds_at_one_threshold():
    folds = [counts(seed=seed) for seed in range(4)]
    known = estimate(folds)
    at = THRESHOLDS.index(known.threshold)
    expected = [one.fbeta(2.0)[at] for one in folds]
    assert known.by_fold == pytest.approx(expected)
    assert known.fbeta == pytest.approx(np.mean(expected))
    assert known.standard_error == pytest.approx(np.std(expected, ddof=1) / 2)
    assert known.folds == 4


def test_the_same_subjects_in_other_folds_do_not_make_an_estimate_more_certain():
    folds = [counts(seed=seed) for seed in range(4)]
    once, twice = estimate(folds), estimate([*folds, *folds], partitions=2)
    spread = np.std(once.by_fold * 2, ddof=1)
    assert twice.standard_error == pytest.approx(spread / 2)


def test_one_fold_has_no_standard_error():
    assert estimate([counts()]).standard_error is None


def test_the_threshold_is_the_shipped_models_own_as_far_as_the_steps_allow():
    labels, scores, subjects = fold(segments=20_000, subjects=10)
    fine = best_threshold(labels, scores, subjects)
    coarse = estimate([FoldCounts.of(labels, scores, subjects)]).threshold
    at = THRESHOLDS.index(coarse)
    assert THRESHOLDS[max(0, at - 1)] <= fine <= THRESHOLDS[min(len(THRESHOLDS) - 1, at + 1)]


def test_a_network_whose_scores_are_all_low_is_not_worse_for_it():
    labels, scores, subjects = fold()
    low = scores**2
    assert estimate([FoldCounts.of(labels, low, subjects)]).fbeta == pytest.approx(
        estimate([FoldCounts.of(labels, scores, subjects)]).fbeta, abs=0.02
    )


def test_metrics_of_folds_are_those_of_all_their_segments():
    folds = [fold(seed=seed) for seed in range(3)]
    labels, scores, subjects = (np.concatenate(parts) for parts in zip(*folds, strict=True))
    threshold = THRESHOLDS[4]
    whole = evaluate(labels, scores, subjects, subjects, threshold=threshold, bootstrap=0)
    found = metrics_of_folds([FoldCounts.of(*one) for one in folds], threshold=threshold)
    for name in ("f1", "fbeta", "accuracy", "precision", "recall", "specificity", "subject_mean_fbeta", "g"):
        assert getattr(found, name) == pytest.approx(getattr(whole, name)), name
    assert found.segments == whole.segments
    assert found.roc_auc is None
