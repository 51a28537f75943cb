"""Episode statistics of segments that were imported from recordings."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from atml.ecg import load_dataset
from atml.ecg.importing import import_recordings
from atml.errors import DataError
from atml.reports.assessment import episodes_of, metrics_of
from tests.recordings import sine, write_wfdb

pytestmark = pytest.mark.skipif(find_spec("wfdb") is None, reason="pip install 'atml[formats]'")
PATIENT = "data_([0-9]+)_"


@pytest.fixture
def db(tmp_path):
    """Two patients; each record is 15 s of sinus rhythm, 20 s of AFIB and 15 s of sinus rhythm."""
    spans = [(0, "(N"), (15, "(AFIB"), (35, "(N")]
    for name in ("1_1", "1_2", "2_1"):
        write_wfdb(tmp_path / "db", f"data_{name}", signal=sine(250.0, 50.0), rhythms=spans)
    return tmp_path / "db"


@pytest.fixture
def imported(db, tmp_path):
    import_recordings(db, tmp_path / "out", subject=PATIENT)
    return load_dataset(tmp_path / "out")


def test_each_sequence_of_a_record_is_an_episode(imported):
    found = episodes_of(imported, imported.labels == 1).pooled
    assert (found.annotated_episodes, found.detected_episodes, found.annotated_seconds) == (3, 3, 60)
    assert (found.called_seconds, found.duration_sensitivity) == (60, 1)


def test_a_corrected_label_keeps_its_place(imported):
    folder = Path(imported.source)
    (folder / "S1-AFIB-4.txt").rename(folder / "S1-N-4.txt")
    corrected = load_dataset(folder)
    found = episodes_of(corrected, corrected.labels == 1).pooled
    assert (found.annotated_episodes, found.annotated_seconds) == (4, 55)


def test_a_missed_segment_divides_a_called_episode_but_not_the_annotated_one(imported):
    afib = np.flatnonzero(imported.labels)
    times = [imported.files[at] for at in afib]
    called = imported.labels == 1
    called[afib[times.index("S1-AFIB-4.txt")]] = False  # the second of four
    found = episodes_of(imported, called).pooled
    assert (found.annotated_episodes, found.detected_episodes, found.called_episodes) == (3, 3, 4)
    assert found.duration_sensitivity == pytest.approx(55 / 60)


def everything_called(folder):
    data = load_dataset(folder)
    found = episodes_of(data, np.ones(len(data), bool)).pooled
    return found.annotated_episodes, found.called_episodes, found.positive_predictivity


def test_a_change_of_rhythm_does_not_divide_an_episode(tmp_path):
    """The import leaves out 2, 3 and 2 s, which `atml predict` does not."""
    spans = [(0, "(N"), (62, "(AFIB"), (125, "(N")]
    write_wfdb(tmp_path / "db", "r", signal=sine(250.0, 187.0), rhythms=spans)
    import_recordings(tmp_path / "db", tmp_path / "out")
    assert everything_called(tmp_path / "out") == (1, 1, 1.0)


def test_a_gap_divides_an_episode(tmp_path):
    signal = sine(250.0, 60.0)
    signal[20 * 250 : 21 * 250] = np.nan
    write_wfdb(tmp_path / "db", "r", signal=signal, rhythms=[(0, "(AFIB")])
    import_recordings(tmp_path / "db", tmp_path / "out")
    assert everything_called(tmp_path / "out") == (2, 2, 1.0)


def test_in_an_older_index_a_change_may_be_a_gap(tmp_path):
    spans = [(0, "(N"), (22, "(AFIB"), (45, "(N")]
    write_wfdb(tmp_path / "db", "r", signal=sine(250.0, 60.0), rhythms=spans)
    import_recordings(tmp_path / "db", tmp_path / "out")
    index = tmp_path / "out" / "segments.csv"
    older = [line.rpartition(",")[0] for line in index.read_text().splitlines()]
    index.write_text("\n".join(older) + "\n")
    assert everything_called(tmp_path / "out") == (1, 3, 1 / 3)


def test_the_metrics_of_a_view_hold_those_of_its_recordings(imported):
    of_one = imported.select(imported.subjects == "S2")
    found = metrics_of(of_one, of_one.labels.astype(np.float32), threshold=0.5, beta=2.0)
    assert found.episodes.pooled.annotated_episodes == 1
    assert type(found).from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_segments_that_do_not_follow_each_other_have_none(db, tmp_path):
    import_recordings(db, tmp_path / "sparse", subject=PATIENT, step_seconds=10)
    sparse = load_dataset(tmp_path / "sparse")
    assert episodes_of(sparse, sparse.labels == 1) is None


def test_segments_of_unknown_time_have_none(imported, simulated, tmp_path):
    data = load_dataset(simulated, workers=1)
    assert episodes_of(data, data.labels == 1) is None
    folder = tmp_path / "out"
    (folder / "S9-AFIB-0.txt").write_bytes((folder / imported.files[0]).read_bytes())
    more = load_dataset(folder)
    assert episodes_of(more, more.labels == 1) is None


def test_a_damaged_provenance_is_named(imported, tmp_path):
    (tmp_path / "out" / "provenance.json").write_text("{")
    with pytest.raises(DataError, match=r"provenance.json cannot be read .* import the recordings again"):
        episodes_of(imported, imported.labels == 1)


def test_a_data_set_says_which_rhythms_are_called_afib(db, imported, tmp_path):
    assert imported.positive == ("AFIB",)
    import_recordings(db, tmp_path / "other", subject=PATIENT, positive=("AFIB", "AFL"))
    other = load_dataset(tmp_path / "other")
    assert other.positive == ("AFIB", "AFL")
    assert other.select(other.labels == 1).positive == ("AFIB", "AFL")
