import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atml.evaluation import best_threshold


def f2(labels, called):
    return 5 * (labels & called).sum() / (4 * labels.sum() + called.sum())


def test_separable_scores_are_parted_half_way():
    assert best_threshold([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], ["a", "b", "a", "b"]) == 0.5


def test_the_middle_of_the_plateau_is_taken():
    # Scores close to 0 and 1 say nothing about where between them to cut.
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 500)
    scores = np.where(labels == 1, rng.uniform(0.9, 1, 500), rng.uniform(0, 0.3, 500))
    assert best_threshold(labels, scores, np.full(500, "a")) == pytest.approx(0.6, abs=0.01)


def test_a_greater_beta_gives_a_lower_threshold():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 4000)
    scores = 1 / (1 + np.exp(-(rng.normal(size=4000) + 1.5 * (labels - 0.5))))
    subjects = rng.integers(0, 10, 4000).astype(str)
    chosen = [best_threshold(labels, scores, subjects, beta=beta) for beta in (0.5, 1.0, 2.0)]
    assert chosen == sorted(chosen, reverse=True)
    assert len(set(chosen)) == 3


def test_every_subject_weighs_the_same():
    # The long recording wants .3, the nine short ones .7; the many win over the long.
    long_labels, long_scores = [0] * 500 + [1] * 500, [0.2] * 500 + [0.4] * 500
    short_labels, short_scores = [0] * 9 + [1] * 9, [0.6] * 9 + [0.8] * 9
    subjects = ["long"] * 1000 + [f"short{i % 9}" for i in range(18)]
    chosen = best_threshold(long_labels + short_labels, long_scores + short_scores, subjects, beta=1)
    assert 0.6 < chosen <= 0.8


@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.floats(0, 1), st.sampled_from("abc")),
        min_size=1,
        max_size=40,
    ).filter(lambda rows: any(label for label, _, _ in rows))
)
def test_any_scores_give_a_threshold_in_range(rows):
    labels, scores, subjects = zip(*rows, strict=True)
    assert 0.001 <= best_threshold(labels, scores, subjects) <= 0.999


@given(st.integers(0, 1000))
def test_no_threshold_is_better_by_more_than_the_tolerance(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, 200)
    labels[0] = 1
    scores = np.clip(rng.uniform(0.1, 0.7, 200) + 0.2 * labels, 0.1, 0.9)
    chosen = best_threshold(labels, scores, np.full(200, "a"))
    best = max(f2(labels, scores >= t) for t in np.linspace(0.05, 0.95, 91))
    # Half of a plateau can belong to one step, which rounding to four decimals may leave.
    assert f2(labels, scores >= chosen) >= best - 0.01


def test_a_threshold_without_afib_is_refused():
    with pytest.raises(ValueError, match="needs AFIB segments"):
        best_threshold([0, 0], [0.1, 0.2], ["a", "b"])


def test_missing_subjects_are_refused():
    with pytest.raises(ValueError, match=r"subjects must be a vector of 2 names.*\(1,\)"):
        best_threshold([0, 1], [0.1, 0.2], ["a"])
