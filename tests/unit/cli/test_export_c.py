import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from atml.cli.main import app
from atml.errors import CannotWrite
from atml.export import OnnxMetadata, to_onnx
from atml.export.c import tools
from atml.models.dscnn import DSCNN

METADATA = OnnxMetadata(sampling_rate_hz=250, classes=("Normal", "AFIB"), threshold=0.5, architecture="dscnn")
FILES = ["Makefile", "ecm.c", "ecm.h", "ecm_selftest.c"]
missing = tools.missing_for_host()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    network = DSCNN.build(DSCNN.config(channels=4), 1250)
    path = tmp_path / "model.onnx"
    path.write_bytes(to_onnx(network, segment_length=1250, metadata=METADATA))
    return path


def test_writes_the_files_and_nothing_else(model: Path, tmp_path: Path):
    out = tmp_path / "firmware"
    for _ in range(2):  # files that ATML wrote are replaced
        done = CliRunner().invoke(app, ["export-c", str(model), "--out", str(out)])
        assert done.exit_code == 0, done.output
        assert sorted(path.name for path in out.iterdir()) == FILES
        assert "bytes of memory" in done.output


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_atml_did_not_write_is_named_and_kept(model: Path, tmp_path: Path, name: str):
    (tmp_path / name).write_bytes(b"mine\n# ATML")
    done = CliRunner().invoke(app, ["export-c", str(model), "--out", str(tmp_path)])
    assert isinstance(done.exception, CannotWrite)
    assert f"{tmp_path / name} exists and was not written by ATML" in str(done.exception)
    assert (tmp_path / name).read_bytes() == b"mine\n# ATML"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, model.name])


@pytest.mark.skipif(bool(missing), reason=tools.advice(missing))
def test_check_prints_what_was_measured(model: Path, tmp_path: Path):
    arguments = ["export-c", str(model), "--check", "--out", str(tmp_path / "c")]
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 0, shown.output
    for row in ("ONNX bytes", "flash bytes", "RAM bytes", "instructions", "largest difference of logits"):
        assert row in shown.output
    facts = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert facts["onnx_bytes"] == len(model.read_bytes())
    assert facts["host_difference"] < 1e-4
    assert [Path(name).name for name in facts["files"]] == ["ecm.c", "ecm.h", "ecm_selftest.c", "Makefile"]
