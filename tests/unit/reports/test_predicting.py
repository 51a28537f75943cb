"""Whole recordings: the same scores as imported segments, in parts of any size, with gaps and episodes."""

import csv
import itertools
import warnings
from importlib.util import find_spec

import numpy as np
import pytest
import torch

import atml
from atml.ecg import cutting, load_dataset, simulate
from atml.ecg.provenance import read_index
from atml.ecg.synthesis.heart import draw_heart
from atml.ecg.synthesis.recording import clock, record
from atml.ecg.synthesis.rhythms import RHYTHMS
from atml.errors import DataError
from atml.export import OnnxClassifier, OnnxMetadata, to_onnx
from atml.models import get_architecture
from atml.reports.rhythm_files import write_annotations
from tests.recordings import write_edf, write_wfdb

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
        return np.array([part.probability for part in found.parts if part.reason is None])

    whole = scores()
    monkeypatch.setattr(cutting, "_PART_SECONDS", 7.0)  # 58 parts
    parts = scores()
    assert len(parts) == 80
    difference = np.abs(parts - whole)
    assert difference[1:-1].max() < 1e-6  # float32
    # At both ends of the recording a straight line through the part, not the whole, continues the signal.
    assert difference.max() < 1e-4


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
