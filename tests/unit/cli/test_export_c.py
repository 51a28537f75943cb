import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from atml.cli.main import app
from atml.export import OnnxMetadata, to_onnx
from atml.export.c import tools
from atml.models.dscnn import DSCNN

METADATA = OnnxMetadata(sampling_rate_hz=250, classes=("Normal", "AFIB"), threshold=0.5, architecture="dscnn")
FILES = ["Makefile", "ecm.c", "ecm.h", "ecm_selftest.c"]
missing = tools.missing_for_host()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    model = DSCNN.build(DSCNN.config(channels=4), 1250)
    (tmp_path / "model.onnx").write_bytes(to_onnx(model, segment_length=1250, metadata=METADATA))
    return tmp_path


def test_writes_the_files_and_nothing_else(bundle: Path):
    done = CliRunner().invoke(app, ["export-c", str(bundle), "--out", str(bundle / "firmware")])
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in (bundle / "firmware").iterdir()) == FILES
    assert "bytes of memory" in done.output


@pytest.mark.skipif(bool(missing), reason=tools.advice(missing))
def test_check_prints_what_was_measured(bundle: Path):
    arguments = ["export-c", str(bundle), "--int8", "--check", "--out", str(bundle / "c")]
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 0, shown.output
    for row in ("ONNX bytes", "flash bytes", "RAM bytes", "instructions", "largest difference of logits"):
        assert row in shown.output
    facts = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert facts["onnx_bytes"] < len((bundle / "model.onnx").read_bytes())
    assert facts["host_difference"] < 1e-4
    assert [Path(name).name for name in facts["files"]] == ["ecm.c", "ecm.h", "ecm_selftest.c", "Makefile"]
