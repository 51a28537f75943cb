"""Simulated segments for training: drawn once, kept in the cache, labelled as they were drawn."""

import numpy as np
import pytest

from atml.ecg import simulated, simulated_segments
from atml.ecg.sources.simulator import draw_subject
from atml.errors import CannotWrite

LENGTH = 250


@pytest.fixture(autouse=True)
def _few(monkeypatch, tmp_path):
    monkeypatch.setenv("ATML_CACHE", str(tmp_path))
    monkeypatch.setattr(simulated, "SUBJECTS", 4)
    monkeypatch.setattr(simulated, "SEGMENTS_OF_EACH", 5)


@pytest.fixture
def never_drawn(monkeypatch):
    def fail(*_arguments):
        pytest.fail("segments were drawn again")

    monkeypatch.setattr(simulated, "draw_subject", fail)


def test_they_are_those_of_the_simulator_with_their_labels():
    found = simulated_segments(LENGTH)
    assert (len(found), found.segment_length, set(found.subjects)) == (20, LENGTH, {"S0", "S1", "S2", "S3"})
    assert 0 < found.labels.sum() < 20
    for number in range(4):
        own = found.select(found.subjects == f"S{number}")
        for rhythm, samples in draw_subject(number, 5, LENGTH, simulated.SEED).items():
            label = int(rhythm == "AFIB")
            is_there = (own.samples(own.labels == label)[:, None] == samples.astype(np.float32)).all(axis=2)
            assert is_there.any(axis=0).all()


def test_they_are_kept(request):
    drawn = simulated_segments(LENGTH)
    request.getfixturevalue("never_drawn")
    again = simulated_segments(LENGTH)
    np.testing.assert_array_equal(drawn.samples(), again.samples())
    np.testing.assert_array_equal(drawn.labels, again.labels)


@pytest.mark.parametrize("content", [b"", b"no array", None])
def test_what_is_damaged_is_drawn_again(tmp_path, content):
    drawn = simulated_segments(LENGTH).samples()
    (path,) = (tmp_path / "simulated").iterdir()
    path.write_bytes(path.read_bytes()[:-4] if content is None else content)
    np.testing.assert_array_equal(drawn, simulated_segments(LENGTH).samples())


def test_a_cache_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "simulated").write_text("a file where the folder belongs")
    with pytest.raises(CannotWrite, match="simulated"):
        simulated_segments(LENGTH)
