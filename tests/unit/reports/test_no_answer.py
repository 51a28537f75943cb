"""Where a bundle is not confident, a recording gets no answer."""

import warnings

import numpy as np
import pytest

from atml.ecg.sources.recording import Item, Recording
from atml.reports.predicting import NO_ANSWER, predict_items
from atml.reports.rhythm_files import write_annotations


class Scores:
    """A classifier of segments of 1250 samples with given scores."""

    class metadata:  # noqa: N801
        threshold = 0.5
        classes = ("Normal", "AFIB")

    segment_length = 1250

    def __init__(self, scores):
        self._scores = scores

    def probabilities(self, segments):
        found, self._scores = self._scores[: len(segments)], self._scores[len(segments) :]
        return np.array(found)


def test_segments_near_the_threshold_end_an_episode_and_are_called_nothing():
    signal = np.random.default_rng(0).normal(size=6 * 1250)
    recording = Recording(record="a", signal=signal, rate_hz=250.0, spans=())
    item = Item(name="a", read=lambda: iter([recording]))
    scores = [0.9, 0.95, 0.55, 0.9, 0.1, 0.45]
    (found,) = predict_items(Scores(scores), [item], least_confidence=0.8)
    assert [one.called for one in found.parts] == ["AFIB", "AFIB", None, "AFIB", "Normal", None]
    assert [one.reason == NO_ANSWER for one in found.parts] == [False, False, True, False, False, True]
    assert [one.probability for one in found.parts] == scores
    assert [(one.start_seconds, one.end_seconds) for one in found.episodes] == [(0, 10), (15, 20)]
    assert (found.scored_seconds, found.answered_seconds, found.burden) == (30, 20, 15 / 20)
    (always,) = predict_items(Scores(scores), [item])
    assert [(one.start_seconds, one.end_seconds) for one in always.episodes] == [(0, 20)]
    assert (always.scored_seconds, always.answered_seconds, always.burden) == (30, 30, 20 / 30)


def test_an_annotation_file_tells_no_answer_from_no_score(tmp_path):
    wfdb = pytest.importorskip("wfdb")
    signal = np.random.default_rng(0).normal(size=3 * 1250 + 250)
    recording = Recording(record="a", signal=signal, rate_hz=250.0, spans=())
    item = Item(name="a", read=lambda: iter([recording]))
    (found,) = predict_items(Scores([0.9, 0.55, 0.1]), [item], least_confidence=0.8)
    write_annotations(found, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # wfdb's own use of pandas
        read = wfdb.rdann(str(tmp_path / "a"), "ecm")
    assert [note.rstrip("\0") for note in read.aux_note] == ["(AFIB", "no answer", "(N", "not scored"]
    assert read.symbol == ["+", "~", "+", "~"]
