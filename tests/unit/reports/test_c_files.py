"""`c_sources` gives the C code with which a bundle was shipped, and refuses other models."""

import os
from importlib import import_module
from pathlib import Path

import pytest
import torch

from atml.errors import ModelError
from atml.export import OnnxMetadata, quantize_weights, to_onnx
from atml.export.c import to_c, tools
from atml.models.dscnn import DSCNN
from atml.reports.bundle import FACTS, write_bundle
from atml.reports.c_files import c_code, c_sources

METADATA = OnnxMetadata(sampling_rate_hz=250, classes=("Normal", "AFIB"), threshold=0.5, architecture="dscnn")


@pytest.fixture(scope="module")
def float32() -> bytes:
    torch.manual_seed(0)
    return to_onnx(DSCNN.build(DSCNN.config(channels=4), 1250), segment_length=1250, metadata=METADATA)


def bundle(folder: Path, least_confidence: object = None, **models: bytes) -> Path:
    facts = {**dict.fromkeys(FACTS), "study": "ecm", "least_confidence": least_confidence}
    return write_bundle(folder, {f"{name}.onnx": content for name, content in models.items()}, facts)


def test_the_code_of_a_bundle_is_that_which_it_was_shipped_with(float32: bytes, tmp_path: Path):
    int8 = quantize_weights(float32)
    folder = bundle(tmp_path / "b", 0.8, **{"model": float32, "model.int8": int8})
    shipped, _ = c_code({"model.onnx": float32, "model.int8.onnx": int8}, 0.8)
    assert c_sources(folder).files == shipped
    assert "ECM_LEAST_MARGIN (1.386" in shipped["ecm.h"]
    assert c_sources(folder / "model.onnx") == to_c(float32, least_confidence=0.8)
    assert c_sources(folder / "model.int8.onnx").files == shipped


def test_a_file_that_is_in_no_bundle_has_no_least_confidence(float32: bytes, tmp_path: Path):
    folder = bundle(tmp_path / "b", 0.8, model=float32)
    for name in ("other.onnx", "model.int8.onnx"):  # beside the manifest, which does not list it
        (folder / name).write_bytes(float32)
        assert c_sources(folder / name) == to_c(float32)
    (folder / "manifest.json").write_text("[]")
    assert c_sources(folder / "model.onnx") == to_c(float32)


def test_without_an_int8_model_the_code_is_of_the_float32_one(float32: bytes, tmp_path: Path):
    assert c_sources(bundle(tmp_path / "b", model=float32)) == to_c(float32)


def test_the_code_that_is_measured_is_not_generated_again(float32: bytes, monkeypatch: pytest.MonkeyPatch):
    measuring = import_module("atml.export.c.footprint")  # beside which is a function of its name
    monkeypatch.setattr(tools, "missing_for_target", list)
    monkeypatch.setattr(tools, "flash_bytes", lambda folder: len((folder / "ecm.c").read_text()))
    monkeypatch.setattr(measuring, "measured_on_target", lambda sources, folder: (0, 7))
    monkeypatch.delattr(measuring, "to_c")
    files, figures = c_code({"model.onnx": float32})
    assert (figures["flash_bytes"], figures["instructions"]) == (len(files["ecm.c"]), 7)


def test_a_tool_that_fails_leaves_its_figures_unknown(
    float32: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("arm-none-eabi-gcc", "qemu-system-arm"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    files, figures = c_code({"model.onnx": float32})
    assert "ecm.c" in files
    assert (figures["flash_bytes"], figures["instructions"], figures["refused"]) == (None, None, None)


def test_what_is_no_model_or_another_is_named(float32: bytes, tmp_path: Path):
    with pytest.raises(ModelError, match=r"no\.onnx cannot be read"):
        c_sources(tmp_path / "no.onnx")
    with pytest.raises(ModelError, match=r"is not a bundle: .*manifest\.json"):
        c_sources(tmp_path)
    folder = bundle(tmp_path / "b", **{"model": float32, "model.int8": quantize_weights(float32)})
    (folder / "model.int8.onnx").write_bytes(float32)
    for place in (folder, folder / "model.int8.onnx"):
        with pytest.raises(ModelError, match=r"model\.int8\.onnx is not the model that manifest\.json"):
            c_sources(place)
    with pytest.raises(ModelError, match="not a bundle's manifest"):
        c_sources(bundle(tmp_path / "c", "0.8", model=float32))
