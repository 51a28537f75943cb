"""How often models of a study were evaluated on segments other than its own."""

from types import SimpleNamespace

import optuna
import pytest

from atml.errors import StudyError
from atml.reports.looks import LOOK, count_look, looks


@pytest.fixture
def stored(storage):
    study = optuna.create_study(storage=storage, study_name="first")
    return SimpleNamespace(study=study, data=SimpleNamespace(fingerprint="training"))


def segments(fingerprint):
    return SimpleNamespace(fingerprint=fingerprint, source=f"/data/{fingerprint}")


def metrics(threshold=0.5, beta=2.0, fbeta=0.9):
    return SimpleNamespace(threshold=threshold, beta=beta, defined={"fbeta": fbeta}.get, subjects=4)


def test_each_model_counts_once_on_each_segments_that_it_was_not_trained_on(stored):
    seen = [(b"one", "a"), (b"one", "a"), (b"one", "b"), (b"two", "a"), (b"two", "training")]
    assert [count_look(stored, model, segments(name), metrics()) for model, name in seen] == [1, 1, 2, 3, 3]
    assert {one["directory"] for one in looks(stored.study)} == {"/data/a", "/data/b"}


def test_each_threshold_and_each_beta_is_a_look_of_its_own(stored):
    seen = [metrics(0.1), metrics(0.2), metrics(0.1), metrics(0.1, beta=0.5)]
    assert [count_look(stored, b"one", segments("a"), one) for one in seen] == [1, 2, 2, 3]
    assert sorted((one["threshold"], one["beta"]) for one in looks(stored.study)) == [
        (0.1, 0.5),
        (0.1, 2.0),
        (0.2, 2.0),
    ]


def test_a_look_at_segments_without_afib_has_no_fbeta(stored):
    count_look(stored, b"one", segments("a"), metrics(fbeta=None))
    assert [one["fbeta"] for one in looks(stored.study)] == [None]


def test_of_two_evaluations_at_once_both_count(stored):
    class Segments:
        fingerprint = "a"

        @property
        def source(self):
            """Look elsewhere while this look is about to be written."""
            count_look(stored, b"two", segments("b"), metrics())
            return "/data/a"

    count_look(stored, b"one", Segments(), metrics())
    assert sorted(one["fingerprint"] for one in looks(stored.study)) == ["a", "b"]


def test_the_oldest_is_first(stored):
    count_look(stored, b"one", segments("a"), metrics())
    (new,) = looks(stored.study)
    before = {**new, "when": "2026-01-01T00:00:00+00:00"}
    stored.study.set_user_attr(f"{LOOK}before", before)
    assert looks(stored.study) == [before, new]


def test_a_look_changed_by_hand_is_told(stored):
    stored.study.set_user_attr(f"{LOOK}before", 5)
    with pytest.raises(StudyError, match="study 'first' is damaged"):
        looks(stored.study)
