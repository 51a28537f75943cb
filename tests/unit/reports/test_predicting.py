"""Whole recordings: the same scores as imported segments, in parts of any size, with gaps and episodes."""

import csv
import itertools
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

import atml
from atml.ecg import cutting, load_dataset, simulate
from atml.ecg.provenance import read_index
from atml.ecg.sources import csv_tables
from atml.ecg.sources.finding import find_items
from atml.ecg.sources.recording import Reading
from atml.ecg.synthesis.heart import draw_heart
from atml.ecg.synthesis.recording import clock, record
from atml.ecg.synthesis.rhythms import RHYTHMS
from atml.errors import BadRecording, DataError
from atml.export import OnnxClassifier, OnnxMetadata, to_onnx
from atml.models import get_architecture
from atml.reports.predicting import recording_path
from atml.reports.rhythm_files import write_annotations
from tests.recordings import sine, write_edf, write_frames, write_wfdb

pytestmark = pytest.mark.skipif(
    find_spec("wfdb") is None or find_spec("pyedflib") is None, reason="pip install 'atml[formats]'"
)
RATE_HZ = 200


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A network with random weights, with a threshold that about half of the segments reach."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    architecture = get_architecture("dscnn")
    network = architecture.build(architecture.default(), 1250).eval()
    segments = load_dataset(simulate(folder / "s", subjects=2, segments_per_subject=20, seed=1).directory)

    def write(threshold):
        metadata = OnnxMetadata(
            sampling_rate_hz=250, classes=("Normal", "AFIB"), threshold=threshold, architecture="dscnn"
        )
        (folder / "model.onnx").write_bytes(to_onnx(network, segment_length=1250, metadata=metadata))
        return OnnxClassifier(folder / "model.onnx")

    scores = write(0.5).probabilities(segments.samples())
    write(float(np.median(scores)))
    return folder / "model.onnx"


@pytest.fixture(scope="module")
def ecg():
    """Three minutes of sinus rhythm and fibrillation by turns, with a gap, a flat line and an odd end."""
    rng = np.random.default_rng(3)
    heart = draw_heart(rng)
    times = clock(12_500)
    inside = np.flatnonzero(times >= 0)[:12_500]
    signal = np.concatenate(
        [
            record(rng, heart, RHYTHMS[rhythm](rng, heart, 50), times, fibrillating=rhythm == "AFIB")[inside]
            for rhythm in ("N", "AFIB", "N", "AFIB")
        ]
    )
    signal = np.round(np.interp(np.arange(200 * RATE_HZ - 300) / RATE_HZ, np.arange(50_000) / 250, signal), 4)
    signal[40 * RATE_HZ : 40 * RATE_HZ + 30] = np.nan
    signal[90 * RATE_HZ : 95 * RATE_HZ] = 0.25
    return signal


def write(folder, kind, ecg):
    """Write the recording in one format, and return its path and the options to read it with."""
    folder.mkdir()
    if kind == "wfdb":
        write_wfdb(folder, "r", signal=ecg, rate_hz=RATE_HZ, rhythms=[(0.0, "(N")])
        return folder / "r", {}
    if kind == "edf":
        whole = np.nan_to_num(ecg, nan=0.25) * 1000
        whole[40 * RATE_HZ : 43 * RATE_HZ] = 250  # EDF has no missing samples, but flat lines
        write_edf(folder / "r.edf", signals={"II": whole}, rate_hz=RATE_HZ, annotations=[(0, -1, "N")])
        return folder / "r.edf", {}
    if kind == "npz":
        np.savez(folder / "r.npz", x=ecg, y=np.full(len(ecg), "N"))
        return folder / "r.npz", {"columns": {"signal": "x", "rhythm": "y"}, "rate_hz": RATE_HZ}
    with (folder / "r.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["t", "ecg", "label"])
        for at, value in enumerate(ecg):
            if np.isfinite(value):
                writer.writerow([at / RATE_HZ, value, "N"])
    return folder / "r.csv", {"columns": {"signal": "ecg", "rhythm": "label", "time": "t"}}


@pytest.mark.parametrize("kind", ["wfdb", "edf", "csv", "npz"])
def test_a_recording_scores_as_its_imported_segments(model, ecg, tmp_path, kind):
    path, options = write(tmp_path / "in", kind, ecg)
    (found,) = atml.predict(model, path, **options)
    atml.import_recordings(path.with_suffix(".hea") if kind == "wfdb" else path, tmp_path / "out", **options)
    imported = load_dataset(tmp_path / "out")
    scores = dict(zip(imported.files, OnnxClassifier(model).probabilities(imported.samples()), strict=True))
    scored = [part for part in found.parts if part.reason is None]
    index = read_index(tmp_path / "out")
    assert len(index) == len(scored) > 30
    assert [one.start_seconds for one in scored] == pytest.approx(
        [one.start_seconds for one in index], abs=1e-4
    )
    assert [one.probability for one in scored] == pytest.approx([scores[one.file] for one in index], abs=1e-5)


@pytest.mark.parametrize("rate_hz", [128.0, 200.0, 250.0, 257.3, 1000.0])
def test_borders_of_parts_do_not_change_scores(model, rate_hz, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    signal = np.cumsum(rng.normal(size=round(400 * rate_hz))) * 0.05 + rng.normal(size=round(400 * rate_hz))
    np.savez(tmp_path / "r.npz", x=signal)

    def scores():
        (found,) = atml.predict(model, tmp_path / "r.npz", columns={"signal": "x"}, rate_hz=rate_hz)
        scored = [part for part in found.parts if part.reason is None]
        assert [part.start_seconds for part in scored] == pytest.approx(5.0 * np.arange(80), rel=1e-4)
        return np.array([part.probability for part in scored])

    whole = scores()
    monkeypatch.setattr(cutting, "_PART_SECONDS", 7.0)  # 58 parts
    parts = scores()
    assert len(parts) == 80
    difference = np.abs(parts - whole)
    assert difference[1:-1].max() < 1e-6  # float32
    # At both ends of the recording a straight line through the part, not the whole, continues the signal.
    assert difference.max() < 1e-4


def read_in_parts(folder, name):
    """Return a WFDB record as it is read in parts of 999 samples, and as wfdb reads it whole."""
    (item,) = find_items(folder / f"{name}.hea", None, Reading(in_parts=True))[1]
    (found,) = item.read()
    parts = [found.signal[start : start + 999] for start in range(0, len(found.signal), 999)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # wfdb's own use of pandas
        import wfdb

        whole = wfdb.rdrecord(str(folder / name)).p_signal[:, 0]
    return np.concatenate(parts), whole


def test_a_wfdb_record_of_differences_read_in_parts_is_the_record_read_whole(tmp_path):
    units = np.round(1000 * sine(250, 40, hz=1.0)).astype(int)
    (tmp_path / "r.dat").write_bytes(np.diff(units, prepend=units[0]).astype(np.int8).tobytes())
    header = f"r 1 250 {len(units)}\nr.dat 8 1000(0)/mV 12 0 {units[0]} 0 0 II\n"
    (tmp_path / "r.hea").write_text(header)
    parts, whole = read_in_parts(tmp_path, "r")
    np.testing.assert_array_equal(parts, whole)
    np.testing.assert_allclose(parts, units / 1000)


def test_a_wfdb_record_of_several_segments_read_in_parts_is_the_record_read_whole(tmp_path):
    """Segments of different gains, with a gap longer than a part between them."""
    rng = np.random.default_rng(0)
    for name, samples, largest in (("a", 2500, 1.0), ("b", 2500, 0.1), ("c", 1500, 5.0)):
        write_wfdb(tmp_path, name, signal=rng.uniform(-largest, largest, samples), rhythms=())
    (tmp_path / "layout.hea").write_text("layout 1 250 0\n~ 0 200/mV 0 0 0 0 0 II\n")
    (tmp_path / "p.hea").write_text("p/5 1 250 9500\nlayout 0\na 2500\n~ 3000\nb 2500\nc 1500\n")
    parts, whole = read_in_parts(tmp_path, "p")
    np.testing.assert_array_equal(parts, whole)
    assert np.flatnonzero(np.isnan(parts)).tolist() == list(range(2500, 5500))


def test_a_wfdb_channel_with_several_samples_in_a_frame_read_in_parts_is_the_channel_read_whole(tmp_path):
    ecg, breath = (np.random.default_rng(0).uniform(-1, 1, 60 * rate_hz) for rate_hz in (248, 62))
    write_frames(tmp_path, "r", rate_hz=62, leads={"RESP": breath, "II": ecg})
    (item,) = find_items(tmp_path, None, Reading(in_parts=True))[1]
    (found,) = item.read()
    parts = [found.signal[start : start + 999] for start in range(0, len(found.signal), 999)]
    assert found.rate_hz == 248
    np.testing.assert_allclose(np.concatenate(parts), ecg, atol=1e-4)


def write_segments(folder, layout, units=("mV", "mV")):
    """Write a record of a gap, a segment, and a segment, whose unit another header may state."""
    for name, unit in zip(("a", "b"), units, strict=True):
        write_wfdb(folder, name, signal=sine(250, 10), unit=unit, rhythms=())
    (folder / "layout.hea").write_text("layout 1 250 0\n~ 0 200/mV 0 0 0 0 0 II\n")
    lines = ["layout 0"] * layout + ["~ 1000", "a 2500", "b 2500"]
    (folder / "p.hea").write_text(f"p/{len(lines)} 1 250 6000\n" + "\n".join(lines) + "\n")
    (item,) = find_items(folder / "p.hea", None, Reading(in_parts=True))[1]
    return item


def test_a_wfdb_record_that_begins_with_a_gap_has_a_unit(tmp_path):
    (found,) = write_segments(tmp_path, layout=True, units=("uV", "uV")).read()
    assert found.unit == "mV"
    assert np.nanmax(found.signal[:]) == pytest.approx(1.3e-3, rel=0.01)


def test_wfdb_segments_that_do_not_fit_together_are_named(tmp_path):
    with pytest.raises(BadRecording, match="its segments have different units"):
        list(write_segments(tmp_path, layout=True, units=("mV", "uV")).read())
    with pytest.raises(BadRecording, match=r"p\.hea has gaps but no layout segment"):
        list(write_segments(tmp_path, layout=False).read())


def test_a_bad_recording_of_a_file_is_left_out_and_the_others_are_scored(model, tmp_path):
    np.savez(tmp_path / "r.npz", x=np.stack([sine(250, 10)] * 3), fs=[250, 1, 250])
    options = {"columns": {"signal": "x", "rate": "fs"}}
    skipped = []
    found = list(atml.predict(model, tmp_path / "r.npz", skipped=skipped.append, **options))
    assert [one.record for one in found] == ["r:0", "r:2"]
    assert len(skipped) == 1
    assert skipped[0].startswith("r:1: its sampling rate is 1 Hz")
    with pytest.raises(DataError, match="r:1: its sampling rate"):
        list(atml.predict(model, tmp_path / "r.npz", **options))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("timed", [True, False])
def test_a_table_read_in_parts_is_the_table_read_whole(tmp_path, kind, timed, ecg, monkeypatch):
    subjects = np.where(np.arange(len(ecg)) < 12_345, "a", "b")
    kept = np.isfinite(ecg) if timed else np.ones(len(ecg), dtype=bool)
    table = {"t": (np.arange(len(ecg)) / RATE_HZ)[kept], "ecg": ecg[kept], "who": subjects[kept]}
    if kind == "csv":
        rows = zip(*(column.tolist() for column in table.values()), strict=True)
        (tmp_path / "r.csv").write_text("t,ecg,who\n" + "".join(f"{t},{e},{w}\n" for t, e, w in rows))
    else:
        parquet = pytest.importorskip("pyarrow.parquet")
        content = pytest.importorskip("pyarrow").table(table)
        parquet.write_table(content, tmp_path / "r.parquet", row_group_size=5000)
    columns = {"signal": "ecg", "subject": "who"} | ({"time": "t"} if timed else {})
    reading = Reading(in_parts=True, columns=columns, rate_hz=None if timed else RATE_HZ)

    def signals(size):
        (item,) = find_items(tmp_path / f"r.{kind}", None, reading)[1]
        for one in item.read():
            parts = [one.signal[at : at + size] for at in range(0, len(one.signal), size)]
            yield one.subject, one.rate_hz, np.concatenate(parts)

    whole = list(signals(10**9))
    monkeypatch.setattr(csv_tables, "PART_ROWS", 700)
    assert [one[0] for one in whole] == ["a", "b"]
    expected = np.split(ecg, [12_345])
    for (who, rate_hz, signal), (again, same_hz, parts), values in zip(
        whole, signals(997), expected, strict=True
    ):
        assert (who, rate_hz) == (again, pytest.approx(same_hz, rel=1e-9))
        assert rate_hz == pytest.approx(RATE_HZ, rel=1e-9)
        np.testing.assert_array_equal(parts, signal)
        np.testing.assert_array_equal(signal, values)


def test_parts_cover_the_recording_and_say_why_there_is_no_score(model, ecg, tmp_path):
    path, options = write(tmp_path / "in", "npz", ecg)
    (found,) = atml.predict(model, path, **options)
    assert found.parts[0].start_seconds == 0
    assert found.parts[-1].end_seconds == pytest.approx(found.seconds)
    for one, following in itertools.pairwise(found.parts):
        assert following.start_seconds == pytest.approx(one.end_seconds)
    missing, flat, rest = [one for one in found.parts if one.reason is not None]
    assert (missing.reason, missing.start_seconds, missing.end_seconds) == ("missing samples", 40, 40.15)
    assert (flat.reason, flat.end_seconds) == ("flat line", 95)
    assert rest.reason == "less than 5 s of signal"
    assert {one.called for one in found.parts} == {"AFIB", "Normal", None}


def test_burden_is_the_share_of_the_scored_time_in_episodes(model, ecg, tmp_path):
    path, options = write(tmp_path / "in", "npz", ecg)
    (found,) = atml.predict(model, path, **options)
    scored = [one for one in found.parts if one.reason is None]
    assert found.scored_seconds == pytest.approx(5 * len(scored))
    assert found.burden == pytest.approx(sum(one.called == "AFIB" for one in scored) / len(scored))
    assert sum(one.segments for one in found.episodes) == sum(one.called == "AFIB" for one in scored)
    (longer,) = atml.predict(model, path, minimum_seconds=10, **options)
    assert longer.burden < found.burden
    assert all(one.duration_seconds >= 10 - 0.01 for one in longer.episodes)


def test_annotations_are_read_back_by_wfdb(model, ecg, tmp_path):
    path, _ = write(tmp_path / "in", "wfdb", ecg)
    (found,) = atml.predict(model, path)
    file = write_annotations(found, tmp_path / "rhythms")
    assert file == tmp_path / "rhythms" / "r.ecm"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # wfdb's own use of pandas
        import wfdb

        read = wfdb.rdann(str(file.with_suffix("")), "ecm")
    assert read.fs == RATE_HZ
    assert read.sample[0] == 0
    started = [at / RATE_HZ for at, note in zip(read.sample, read.aux_note, strict=True) if note == "(AFIB"]
    assert started == pytest.approx([one.start_seconds for one in found.episodes])
    unscored = [at / RATE_HZ for at, symbol in zip(read.sample, read.symbol, strict=True) if symbol == "~"]
    assert unscored == pytest.approx([one.start_seconds for one in found.parts if one.reason])
    assert {symbol for note, symbol in zip(read.aux_note, read.symbol, strict=True) if note[0] == "("} == {
        "+"
    }


def test_annotations_of_another_recording_of_the_same_name_are_not_replaced(model, ecg, tmp_path):
    path, _ = write(tmp_path / "in", "wfdb", ecg)
    (found,) = atml.predict(model, path)
    file = write_annotations(found, tmp_path / "rhythms")
    with pytest.raises(DataError, match=r"r\.ecm is already that of another recording of the same name"):
        write_annotations(found, tmp_path / "rhythms", keep={file})


def test_recordings_of_a_table_with_one_name_are_told_apart(model, ecg, tmp_path):
    lines = ["ecg,record"] + [
        f"{value},{name}" for name in ("甲", "乙", "甲") for value in ecg[: 6 * RATE_HZ]
    ]
    (tmp_path / "r.csv").write_text("\n".join(lines))
    found = list(
        atml.predict(
            model, tmp_path / "r.csv", rate_hz=RATE_HZ, columns={"signal": "ecg", "record": "record"}
        )
    )
    assert [one.record for one in found] == ["r:甲", "r:乙", "r:甲 (2)"]
    files = [write_annotations(one, tmp_path / "rhythms").name for one in found]
    assert files == ["r_U7532.ecm", "r_U4E59.ecm", "r_U7532__2_.ecm"]


def test_a_recording_without_any_signal_has_no_burden(model, tmp_path):
    np.savez(tmp_path / "r.npz", x=np.full(5000, np.nan))
    (found,) = atml.predict(model, tmp_path / "r.npz", columns={"signal": "x"}, rate_hz=250)
    assert (found.burden, found.episodes, found.scored_seconds) == (None, (), 0)
    assert [one.reason for one in found.parts] == ["missing samples"]


def test_a_damaged_recording_is_named(model, ecg, tmp_path):
    path, _ = write(tmp_path / "in", "wfdb", ecg)
    (tmp_path / "in" / "r.dat").write_bytes(b"\0" * 1000)
    with pytest.raises(DataError, match=r"r: its signal file r\.dat is damaged or shorter"):
        list(atml.predict(model, path))
    with pytest.raises(DataError, match="r: has no channel V9, but 0 II"):
        list(atml.predict(model, path, lead="V9"))


@pytest.mark.parametrize("name", [".", "./", "/"])
def test_a_directory_without_a_name_holds_recordings(name):
    assert recording_path(Path(name)) == Path(name)
