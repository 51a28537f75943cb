import os
from pathlib import Path

import pytest
import torch

from atml.errors import ModelError
from atml.export import OnnxMetadata, load_checkpoint, save_checkpoint
from atml.models import get_architecture
from atml.models.conv_gru import CONV_GRU, ConvGRUConfig

LENGTH = 1250
CONFIG = ConvGRUConfig(channels=6, hidden=8)
METADATA = OnnxMetadata(
    sampling_rate_hz=250,
    classes=("other", "AFIB"),
    threshold=0.123456789,
    architecture="conv_gru",
)


@pytest.fixture
def model() -> torch.nn.Module:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return CONV_GRU.build(CONFIG, LENGTH).eval()


@pytest.fixture
def path(model: torch.nn.Module, tmp_path: Path) -> Path:
    path = tmp_path / "model.pt"
    save(path, model)
    return path


def save(path: Path, model: torch.nn.Module) -> None:
    config = CONFIG.model_dump()
    save_checkpoint(path, model.state_dict(), config=config, segment_length=LENGTH, metadata=METADATA)


class TestRoundTrip:
    def test_the_same_model_can_be_built_again(self, model: torch.nn.Module, path: Path):
        checkpoint = load_checkpoint(path)
        architecture = get_architecture(checkpoint.metadata.architecture)
        config = architecture.config_from_dict(checkpoint.config)
        again = architecture.build(config, checkpoint.segment_length).eval()
        again.load_state_dict(checkpoint.state_dict)
        samples = torch.randn(2, 1, LENGTH)
        assert torch.equal(model(samples), again(samples))

    def test_metadata_keep_every_digit(self, path: Path):
        metadata = load_checkpoint(path).metadata
        assert metadata == METADATA
        assert metadata.threshold == 0.123456789

    def test_plain_torch_loads_it_safely(self, path: Path):
        content = torch.load(path, weights_only=True)
        assert content["metadata"]["architecture"] == "conv_gru"


class TestWriting:
    def test_leaves_no_other_file(self, path: Path):
        assert [p.name for p in path.parent.iterdir()] == ["model.pt"]

    def test_a_failed_write_keeps_the_old_file(
        self, model: torch.nn.Module, path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        before = path.read_bytes()

        def refuse(descriptor: int) -> None:
            raise OSError("disk full")

        monkeypatch.setattr(os, "fsync", refuse)
        with pytest.raises(OSError, match="disk full"):
            save(path, model)
        assert path.read_bytes() == before
        assert [p.name for p in path.parent.iterdir()] == ["model.pt"]

    def test_overwrites(self, model: torch.nn.Module, path: Path):
        with torch.no_grad():
            model.get_parameter("1.classifier.bias").fill_(3)
        save(path, model)
        assert load_checkpoint(path).state_dict["1.classifier.bias"].tolist() == [3, 3]


class TestBadFiles:
    def test_a_missing_file_is_named(self, tmp_path: Path):
        with pytest.raises(ModelError, match=r"nothing.pt cannot be read"):
            load_checkpoint(tmp_path / "nothing.pt")

    @pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 no zip"])
    def test_a_file_that_is_no_checkpoint_is_named(self, content: bytes, tmp_path: Path):
        path = tmp_path / "model.pt"
        path.write_bytes(content)
        with pytest.raises(ModelError, match=r"model.pt is not a checkpoint of ATML"):
            load_checkpoint(path)

    def test_a_cut_file_is_named(self, path: Path):
        path.write_bytes(path.read_bytes()[:1000])
        with pytest.raises(ModelError, match="is not a checkpoint of ATML"):
            load_checkpoint(path)

    def test_code_is_never_run(self, tmp_path: Path):
        path = tmp_path / "model.pt"
        torch.save(Path("/"), path)
        with pytest.raises(ModelError, match="is not a checkpoint of ATML"):
            load_checkpoint(path)

    @pytest.mark.parametrize("content", [{}, [1, 2], {"format": 1}, {"format": 1, "config": 3}])
    def test_another_content_is_named(self, content: object, tmp_path: Path):
        path = tmp_path / "model.pt"
        torch.save(content, path)
        with pytest.raises(ModelError, match="is not a checkpoint of ATML"):
            load_checkpoint(path)

    def test_a_later_format_is_named(self, path: Path):
        content = torch.load(path, weights_only=True)
        torch.save({**content, "format": 2}, path)
        with pytest.raises(ModelError, match="checkpoint format 2; this ATML reads 1"):
            load_checkpoint(path)
