"""Which segments a full-integer model is compared on, and that the look at them is counted."""

import hashlib

import pytest
import torch
from typer.testing import CliRunner

import atml
from atml.cli.main import app
from atml.ecg import load_dataset
from atml.export import OnnxMetadata, to_onnx
from atml.models.tiny_cnn import TINY_CNN
from atml.reports import qdq
from atml.reports.bundle import write_bundle
from atml.reports.looks import looks
from atml.reports.qdq import export_qdq
from atml.service.studies import create_or_resume


@pytest.fixture
def held_out(simulated_test):
    return load_dataset(simulated_test, workers=1)


@pytest.fixture
def bundle(tmp_path, dataset):
    torch.manual_seed(0)
    metadata = OnnxMetadata(
        sampling_rate_hz=250, classes=("Normal", "AFIB"), threshold=0.5, architecture="tiny_cnn"
    )
    length = dataset.segment_length
    content = to_onnx(TINY_CNN.build(TINY_CNN.default(), length), segment_length=length, metadata=metadata)
    facts = {"study": "first", "trial": 1, "architecture": "tiny_cnn", "config": {}, "threshold": 0.5}
    facts |= {"subjects": {"train": [], "test": []}, "test_data": None, "spec": {"beta": 1.0}}
    return write_bundle(tmp_path / "bundle", {"model.onnx": content}, facts)


def test_a_look_at_other_segments_is_counted_on_the_study_once_for_each_of_both_models(
    bundle, storage, storage_url, make_phase1, dataset, held_out, tmp_path
):
    study = create_or_resume(storage, make_phase1(name="first"), dataset).study
    for data, times in ((dataset, 0), (held_out, 2), (held_out, 2)):
        export_qdq(bundle, data, tmp_path / "qdq.onnx", storage=storage_url)
        assert len(looks(study)) == times
    atml.evaluate(bundle, held_out, storage=storage_url)
    files = (bundle / "model.onnx", tmp_path / "qdq.onnx")
    counted = {hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    assert {look["model"] for look in looks(study)} == counted
    assert [look["beta"] for look in looks(study)] == [1.0, 1.0]


def test_segments_that_gave_the_ranges_are_said_to_be_those_compared(bundle, held_out, tmp_path, monkeypatch):
    model, out = bundle / "model.onnx", tmp_path / "qdq.onnx"
    nowhere = f"sqlite:///{tmp_path / 'none.db'}"
    made = export_qdq(model, held_out, out, storage=nowhere)
    assert (made.compared_on_others, made.metrics.segments) == (False, len(held_out))
    command = ["export-qdq", str(model), "--data", held_out.source, "--out", str(out), "--storage", nowhere]
    assert "These segments gave the ranges, too" in CliRunner().invoke(app, command).stdout
    monkeypatch.setattr(qdq, "CALIBRATION_SEGMENTS", 12)
    made = export_qdq(model, held_out, out, storage=nowhere)
    assert (made.compared_on_others, made.metrics.segments) == (True, len(held_out) - 12)
    assert "gave the ranges" not in CliRunner().invoke(app, command).stdout
