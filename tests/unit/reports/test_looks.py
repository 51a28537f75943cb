"""How often models of a study were evaluated on segments other than its own."""

from types import SimpleNamespace

import optuna
import pytest

from atml.reports.looks import EARLIER_LOOKS, count_look, looks


@pytest.fixture
def stored(storage):
    study = optuna.create_study(storage=storage, study_name="first")
    return SimpleNamespace(study=study, data=SimpleNamespace(fingerprint="training"))


def segments(fingerprint):
    return SimpleNamespace(fingerprint=fingerprint, source=f"/data/{fingerprint}")


def test_each_model_counts_once_on_each_segments_that_it_was_not_trained_on(stored):
    seen = [(b"one", "a"), (b"one", "a"), (b"one", "b"), (b"two", "a"), (b"two", "training")]
    assert [count_look(stored, model, segments(name), 0.5) for model, name in seen] == [1, 1, 2, 3, 3]
    assert {one["directory"] for one in looks(stored.study)} == {"/data/a", "/data/b"}


def test_of_two_evaluations_at_once_both_count(stored):
    class Segments:
        fingerprint = "a"

        @property
        def source(self):
            """Look elsewhere while this look is about to be written."""
            count_look(stored, b"two", segments("b"), 0.5)
            return "/data/a"

    count_look(stored, b"one", Segments(), 0.5)
    assert sorted(one["fingerprint"] for one in looks(stored.study)) == ["a", "b"]


def test_looks_that_an_earlier_version_counted_still_count_and_the_oldest_is_first(stored):
    count_look(stored, b"one", segments("a"), 0.5)
    (new,) = looks(stored.study)
    before = [{**new, "fingerprint": "b", "when": "2026-01-01T00:00:00+00:00"}]
    stored.study.set_user_attr(EARLIER_LOOKS, before)
    assert looks(stored.study) == [*before, new]
    assert count_look(stored, b"one", segments("b"), 0.5) == 2
