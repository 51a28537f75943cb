import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    fbeta_score,
    precision_score,
    recall_score,
    roc_auc_score,
)

import atml.evaluation
from atml.evaluation import Metrics, evaluate
from atml.evaluation.bootstrap import resampled_subjects

rows = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.floats(0, 1).map(lambda score: round(score, 2)),  # so that scores tie
        st.sampled_from(["S1", "S2", "S3"]),
    ),
    min_size=1,
    max_size=60,
)


def contest_set(segments=50_000, subjects=53, seed=0):
    rng = np.random.default_rng(seed)
    subject = rng.integers(0, subjects, segments)
    labels = (rng.random(segments) < np.linspace(0, 1, subjects)[subject]).astype(np.int64)
    scores = np.clip(0.3 + 0.4 * labels + 0.25 * rng.normal(size=segments), 0, 1)
    names = np.array([f"S{i}" for i in range(subjects)])[subject]
    return labels, scores, names, np.where(labels == 1, "AFIB", "N")


@given(rows, st.floats(0, 1), st.sampled_from([0.5, 2.0]))
@settings(max_examples=60)
def test_pooled_figures_are_scikit_learns(pairs, threshold, beta):
    labels, scores, subjects = map(np.array, zip(*pairs, strict=True))
    called = (scores >= threshold).astype(int)
    found = evaluate(labels, scores, subjects, subjects, threshold=threshold, beta=beta, bootstrap=0)
    zero = {"zero_division": 0.0}
    assert found.f1 == pytest.approx(f1_score(labels, called, **zero))
    assert found.fbeta == pytest.approx(fbeta_score(labels, called, beta=beta, **zero))
    assert found.accuracy == pytest.approx(accuracy_score(labels, called))
    assert found.precision == pytest.approx(precision_score(labels, called, **zero))
    assert found.recall == pytest.approx(recall_score(labels, called, **zero))
    if 0 in labels:
        assert found.specificity == pytest.approx(recall_score(labels, called, pos_label=0, **zero))
    if len(set(labels)) == 2:
        assert found.roc_auc == pytest.approx(roc_auc_score(labels, scores))


@given(rows)
@settings(max_examples=60)
def test_a_subjects_figures_are_those_of_its_segments_alone(pairs):
    labels, scores, subjects = map(np.array, zip(*pairs, strict=True))
    found = evaluate(labels, scores, subjects, subjects, threshold=0.5, bootstrap=0)
    assert [one.subject for one in found.per_subject] == sorted(set(subjects))
    for one in found.per_subject:
        own = subjects == one.subject
        alone = evaluate(labels[own], scores[own], subjects[own], subjects[own], threshold=0.5, bootstrap=0)
        assert one.segments == alone.segments
        assert one.afib_segments == labels[own].sum()
        assert one.accuracy == pytest.approx(alone.accuracy)
        assert one.specificity == alone.specificity
        assert one.roc_auc == pytest.approx(alone.roc_auc)
        if one.afib_segments:
            assert one.fbeta == pytest.approx(alone.fbeta)
            assert one.f1 == pytest.approx(alone.f1)


@given(rows)
@settings(max_examples=30)
def test_every_figure_survives_json(pairs):
    labels, scores, subjects = zip(*pairs, strict=True)
    found = evaluate(labels, scores, subjects, subjects, threshold=0.5, bootstrap=20)
    text = json.dumps(found.to_dict(), allow_nan=False)
    assert json.loads(text) == found.to_dict()
    assert Metrics.from_dict(json.loads(text)) == found


@pytest.mark.parametrize(("change", "said"), [({"recall": "much"}, "recall: "), ({"g": None}, "g: ")])
def test_damaged_figures_are_refused_by_name(change, said):
    whole = evaluate([0, 1], [0.1, 0.9], ["a", "b"], ["N", "AFIB"], threshold=0.5).to_dict()
    with pytest.raises(ValueError, match=f"^{said}[^\n]+$"):
        Metrics.from_dict({**whole, **change})
    del whole["f1"]
    with pytest.raises(ValueError, match="f1: Field required"):
        Metrics.from_dict(whole)


def test_a_subject_without_afib_counts_as_found_and_shows_in_specificity_only():
    found = evaluate([0, 0, 1, 1], [0.9, 0.1, 0.9, 0.1], ["quiet"] * 2 + ["af"] * 2, ["N"] * 4, threshold=0.5)
    af, quiet = found.per_subject
    assert (quiet.precision, quiet.recall, quiet.f1, quiet.fbeta) == (1, 1, 1, 1)
    assert quiet.specificity == 0.5
    assert quiet.roc_auc is None
    assert af.specificity is None
    assert found.subject_mean_fbeta == pytest.approx((1 + af.fbeta) / 2)
    assert found.g == 0.5


def test_g_counts_subjects_strictly_above_nine_tenths():
    # F1 of 9 hits, 1 miss and 1 false alarm is exactly .9.
    labels = [1] * 10 + [0]
    scores = [1.0] * 9 + [0.0, 1.0]
    found = evaluate(labels, scores, ["a"] * 11, ["N"] * 11, threshold=0.5, beta=1.0)
    assert found.per_subject[0].fbeta == pytest.approx(0.9)
    assert found.g == 0.0


def test_worst_is_the_smallest_of_the_four_named_figures():
    found = evaluate(*contest_set(2000), threshold=0.6, bootstrap=0)
    four = (found.f1, found.accuracy, found.precision, found.recall)
    assert found.worst == min(four)


def test_each_rhythm_tells_how_often_it_was_called_afib():
    found = evaluate(
        [1, 1, 0, 0, 0],
        [0.9, 0.1, 0.9, 0.1, 0.1],
        ["a"] * 5,
        ["AFIB", "AFIB", "", "SBR", "SBR"],
        threshold=0.5,
    )
    by_name = {one.rhythm: one for one in found.per_rhythm}
    assert (by_name["AFIB"].called_afib, by_name["AFIB"].accuracy) == (0.5, 0.5)
    assert (by_name[""].called_afib, by_name[""].accuracy) == (1.0, 0.0)
    assert (by_name["SBR"].called_afib, by_name["SBR"].segments) == (0.0, 2)


def test_one_class_has_no_area_under_the_curve():
    found = evaluate([1, 1], [0.2, 0.8], ["a", "b"], ["AFIB"] * 2, threshold=0.5)
    assert found.roc_auc is None
    assert found.specificity is None
    assert {"roc_auc", "specificity"}.isdisjoint(found.intervals)


def test_intervals_hold_the_figure_and_are_always_the_same():
    data = contest_set(5000)
    found = evaluate(*data, threshold=0.5)
    assert found.intervals == evaluate(*data, threshold=0.5).intervals
    for name, (low, high) in found.intervals.items():
        assert low <= getattr(found, name) <= high, name
        assert low < high


def test_intervals_are_those_of_resampled_segments():
    labels, scores, subjects, rhythms = contest_set(800, subjects=8)
    scores = scores.round(1)  # so that scores tie
    found = evaluate(labels, scores, subjects, rhythms, threshold=0.5, bootstrap=60)
    resamples = []
    for times in resampled_subjects(8, 60).astype(int):
        drawn, copies = [], []
        for name, count in zip([one.subject for one in found.per_subject], times, strict=True):
            own = np.flatnonzero(subjects == name)
            drawn.append(np.tile(own, count))
            copies += [f"{name} {copy}" for copy in range(count) for _ in own]
        rows = np.concatenate(drawn)
        again = labels[rows], scores[rows], copies, rhythms[rows]
        resamples.append(evaluate(*again, threshold=0.5, bootstrap=0))
    for name, interval in found.intervals.items():
        values = [getattr(one, name) for one in resamples]
        assert interval == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=1e-9), name
    assert len(found.intervals) == 9


def test_subjects_not_segments_are_resampled():
    # Many segments of few subjects that differ: the interval stays as wide as the subjects are.
    labels = np.ones(20_000, dtype=int)
    subjects = np.repeat(list("abcdefgh"), 2500)
    scores = np.repeat([0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.1, 0.1], 2500)
    low, high = evaluate(labels, scores, subjects, subjects, threshold=0.5).intervals["recall"]
    assert low <= 0.5
    assert high == 1.0


@pytest.mark.parametrize("subjects", [["a", "a"], ["a", "b"]])
def test_no_interval_without_subjects_or_resamples(subjects):
    resamples = 1000 if len(set(subjects)) == 1 else 0
    found = evaluate([0, 1], [0.1, 0.9], subjects, ["N", "AFIB"], threshold=0.5, bootstrap=resamples)
    assert found.intervals == {}


@pytest.mark.parametrize(
    ("replaced", "complaint"),
    [
        ({"scores": [0.5]}, "one length"),
        ({"subjects": ["a"]}, r"subjects must be a vector of 2 names.*\(1,\)"),
        ({"rhythms": ["a"] * 3}, r"rhythms must be a vector of 2 names.*\(3,\)"),
        ({"scores": [0.5, math.nan]}, "got nan at index 1"),
    ],
)
def test_a_bad_input_is_refused_with_what_was_given(replaced, complaint):
    given_ = {
        "labels": [0, 1],
        "scores": [0.1, 0.9],
        "subjects": ["a", "b"],
        "rhythms": ["N", "AFIB"],
        "threshold": 0.5,
    }
    with pytest.raises(ValueError, match=complaint):
        evaluate(**(given_ | replaced))


def test_all_is_complete():
    assert len(set(atml.evaluation.__all__)) == len(atml.evaluation.__all__)  # ruff sorts them
    assert all(hasattr(atml.evaluation, name) for name in atml.evaluation.__all__)


def test_a_resample_without_afib_says_nothing_about_how_it_is_found():
    # Six of 200 subjects have AFIB, of which 9 in 10 are found: one resample in 400 has none of them.
    labels = np.concatenate([np.ones(60, int), np.zeros(1940, int)])
    scores = np.where(labels == 1, 0.9, 0.1)
    scores[0:60:10] = 0.1
    subjects = np.repeat([f"S{number}" for number in range(200)], 10)
    found = evaluate(labels, scores, subjects, subjects, threshold=0.5, bootstrap=4000)
    assert found.intervals["recall"] == pytest.approx((0.9, 0.9))
    assert found.intervals["precision"] == (1.0, 1.0)
    assert found.intervals["fbeta"][0] > 0.9
    without = evaluate(np.zeros(2000, int), scores, subjects, subjects, threshold=0.5)
    assert set(without.intervals) == {"accuracy", "specificity"}
    names = ("f1", "fbeta", "precision", "recall", "subject_mean_fbeta", "g", "accuracy", "specificity")
    undefined = [without.defined(name) is None for name in names]
    assert undefined == [True] * 6 + [False] * 2


@pytest.mark.parametrize("count", [5, 6])
def test_six_subjects_of_a_class_give_an_interval_of_what_is_about_it(count):
    # `count` subjects have AFIB, and all eight have other rhythms.
    labels = np.array([[1, 0]] * count + [[0, 0]] * (8 - count)).ravel()
    found = evaluate(labels, labels * 0.8, np.repeat(list("abcdefgh"), 2), np.full(16, "N"), threshold=0.5)
    about_afib = {"f1", "fbeta", "precision", "recall", "subject_mean_fbeta", "g", "roc_auc"}
    assert set(found.intervals) == {"accuracy", "specificity"} | (about_afib if count == 6 else set())


def test_the_subject_on_which_a_model_is_worst_comes_first():
    labels = [1, 1, 0, 0, 1, 1, 0, 0, 0, 1, 0]
    scores = [0.9, 0.1, 0.1, 0.1, 0.9, 0.9, 0.9, 0.9, 0.1, 0.9, 0.1]
    subjects = ["missed"] * 4 + ["afib only"] * 2 + ["alarms"] * 3 + ["fine"] * 2
    found = evaluate(labels, scores, subjects, ["N"] * 11, threshold=0.5)
    rates = [(one.subject, one.smaller_rate) for one in found.worst_first]
    assert rates == [("alarms", pytest.approx(1 / 3)), ("missed", 0.5), ("afib only", 1.0), ("fine", 1.0)]
