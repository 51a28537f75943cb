import json
import re
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from atml.cli.main import app
from atml.errors import BadSegment, DataError
from atml.export import OnnxMetadata, quantize_weights, to_onnx
from atml.models.dscnn import DSCNN
from atml.reports.bundle import write_bundle
from tests.recordings import write_wfdb

METADATA = OnnxMetadata(sampling_rate_hz=250, classes=("Normal", "AFIB"), threshold=0.5, architecture="dscnn")


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    network = DSCNN.build(DSCNN.config(channels=4), 1250)
    path = tmp_path / "model.onnx"
    path.write_bytes(to_onnx(network, segment_length=1250, metadata=METADATA))
    return path


@pytest.mark.parametrize(
    ("samples", "advice"), [(10, "give a longer segment"), (1300, "cut it to that length")]
)
def test_a_segment_of_another_length_comes_with_what_to_do(model, tmp_path, samples, advice):
    (tmp_path / "segment.txt").write_text("0.5\n" * samples)
    run = CliRunner().invoke(app, ["predict", str(model), str(tmp_path / "segment.txt")])
    assert isinstance(run.exception, BadSegment)
    assert str(run.exception).endswith(f"has {samples} samples but the model takes 1250; {advice}")


def test_a_file_of_a_bundle_withholds_what_the_bundle_withholds_and_is_refused_if_changed(model, tmp_path):
    facts = {"study": "ecm", "trial": 1, "architecture": "dscnn", "config": {}, "threshold": 0.5}
    facts |= {"subjects": {"train": [], "test": []}, "test_data": None, "least_confidence": 1.0}
    content = model.read_bytes()
    files = {"model.onnx": content, "model.int8.onnx": quantize_weights(content)}
    bundle = write_bundle(tmp_path / "bundle", files, facts)
    np.savetxt(tmp_path / "a.txt", np.random.default_rng(0).normal(size=1250))

    def predicted(place):
        return CliRunner().invoke(app, ["predict", str(place), str(tmp_path / "a.txt")])

    for place in (bundle, bundle / "model.onnx", bundle / "model.int8.onnx"):
        assert predicted(place).stdout.endswith(",no answer\n")
    assert not predicted(model).stdout.endswith(",no answer\n")
    (bundle / "model.int8.onnx").write_bytes(content)
    assert "is not the model that manifest.json" in str(predicted(bundle / "model.int8.onnx").exception)


@pytest.mark.parametrize("option", ["--rate=200", "--minimum=30", "--lead=II", "--episodes"])
def test_options_of_recordings_are_refused_for_segments(model, tmp_path, option):
    np.savetxt(tmp_path / "a.txt", np.zeros(1250))
    run = CliRunner().invoke(app, ["predict", str(model), str(tmp_path / "a.txt"), option])
    assert isinstance(run.exception, DataError)
    assert "a.txt is taken for a segment of 250 Hz" in str(run.exception)


@pytest.mark.parametrize("as_json", [[], ["--json"]], ids=["csv", "json"])
def test_skip_bad_names_segments_that_cannot_be_read_and_scores_the_others(model, tmp_path, as_json):
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        np.savetxt(tmp_path / f"{name}.txt", rng.normal(size=1250))
    (tmp_path / "bad.txt").write_text("0.5\nx\n")
    files = [str(tmp_path / f"{name}.txt") for name in ("a", "bad", "b")]
    run = CliRunner().invoke(app, ["predict", str(model), *files, "--skip-bad", *as_json])
    assert run.exit_code == 1
    assert [name in run.stdout for name in ("a.txt", "bad.txt", "b.txt")] == [True, False, True]
    assert re.search(r"Left out: .*bad\.txt:2: expected a number", run.stderr)
    assert CliRunner().invoke(app, ["predict", str(model), files[1], "--skip-bad"]).exit_code == 1


@pytest.mark.skipif(find_spec("wfdb") is None, reason="pip install 'atml[formats]'")
def test_skip_bad_names_damaged_recordings_and_scores_the_others(model, tmp_path):
    for name in ("r1", "r2", "r3"):
        write_wfdb(tmp_path / "db", name)
    (tmp_path / "db" / "r2.dat").write_bytes(b"\0" * 1000)
    command = ["predict", str(model), str(tmp_path / "db")]
    refused = CliRunner().invoke(app, command)
    assert isinstance(refused.exception, DataError)
    run = CliRunner().invoke(app, [*command, "--skip-bad", "--json"])
    assert run.exit_code == 1
    assert [one["record"] for one in json.loads(run.stdout)] == ["r1", "r3"]
    assert re.fullmatch(r"Left out: r2: its signal file r2\.dat is damaged .*\n", run.stderr)
    (tmp_path / "db" / "r2.hea").unlink()
    assert CliRunner().invoke(app, [*command, "--skip-bad"]).exit_code == 0
