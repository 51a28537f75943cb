import pytest
import torch
from typer.testing import CliRunner

from atml.cli.main import app
from atml.errors import BadSegment
from atml.export import OnnxMetadata, to_onnx
from atml.models.dscnn import DSCNN

METADATA = OnnxMetadata(sampling_rate_hz=250, classes=("Normal", "AFIB"), threshold=0.5, architecture="dscnn")


@pytest.mark.parametrize(
    ("samples", "advice"), [(10, "give a longer segment"), (1300, "cut it to that length")]
)
def test_a_segment_of_another_length_comes_with_what_to_do(tmp_path, samples, advice):
    torch.manual_seed(0)
    model = to_onnx(DSCNN.build(DSCNN.config(channels=4), 1250), segment_length=1250, metadata=METADATA)
    (tmp_path / "model.onnx").write_bytes(model)
    (tmp_path / "segment.txt").write_text("0.5\n" * samples)
    run = CliRunner().invoke(app, ["predict", str(tmp_path / "model.onnx"), str(tmp_path / "segment.txt")])
    assert isinstance(run.exception, BadSegment)
    assert str(run.exception).endswith(f"has {samples} samples but the model takes 1250; {advice}")
