"""`c_sources` gives the C code with which a bundle was shipped, and refuses other models."""

import json
import os
from pathlib import Path

import pytest
import torch

from atml.errors import ModelError
from atml.export import OnnxMetadata, quantize_weights, to_onnx
from atml.export.c import to_c
from atml.models.dscnn import DSCNN
from atml.reports.bundle import FACTS, BundleFile, write_bundle
from atml.reports.c_files import c_code, c_sources

METADATA = OnnxMetadata(sampling_rate_hz=250, classes=("Normal", "AFIB"), threshold=0.5, architecture="dscnn")


@pytest.fixture(scope="module")
def float32() -> bytes:
    torch.manual_seed(0)
    return to_onnx(DSCNN.build(DSCNN.config(channels=4), 1250), segment_length=1250, metadata=METADATA)


def bundle(folder: Path, least_confidence: object = None, metrics: object = None, **models: bytes) -> Path:
    facts = {**dict.fromkeys(FACTS), "study": "ecm", "least_confidence": least_confidence}
    files = [
        BundleFile(name=f"{name}.onnx", write=lambda path, content=content: path.write_bytes(content))
        for name, content in models.items()
    ]
    files += [BundleFile(name="metrics.json", write=lambda path: path.write_text(json.dumps(metrics)))]
    return write_bundle(folder, files, facts)


def test_the_code_of_a_bundle_is_that_which_it_was_shipped_with(float32: bytes, tmp_path: Path):
    int8 = quantize_weights(float32)
    folder = bundle(tmp_path / "b", 0.8, **{"model": float32, "model.int8": int8})
    shipped, _ = c_code({"model.onnx": float32, "model.int8.onnx": int8}, 0.8)
    assert c_sources(folder).files == c_sources(folder, int8=True).files == shipped
    assert "ECM_LEAST_MARGIN (1.386" in shipped["ecm.h"]
    assert c_sources(folder / "model.onnx") == to_c(float32, least_confidence=0.8)
    assert c_sources(folder / "model.onnx", int8=True).files == shipped
    assert c_sources(folder / "model.int8.onnx").files == shipped


def test_a_file_that_is_in_no_bundle_has_no_least_confidence(float32: bytes, tmp_path: Path):
    folder = bundle(tmp_path / "b", 0.8, model=float32)
    for name in ("other.onnx", "model.int8.onnx"):  # beside the manifest, which does not list it
        (folder / name).write_bytes(float32)
        assert c_sources(folder / name) == to_c(float32)
    assert c_sources(folder / "model.onnx", int8=True) == to_c(
        quantize_weights(float32), least_confidence=0.8
    )
    (folder / "manifest.json").write_text("[]")
    assert c_sources(folder / "model.onnx") == to_c(float32)


@pytest.mark.parametrize(
    ("metrics", "is_noted"),
    [
        ({"int8": {"shipped": False, "decisions_equal": 0.9812}}, True),
        ({"int8": {"shipped": True, "decisions_equal": 0.9912}}, False),
        ({"int8": None}, False),
        ([], False),
    ],
)
def test_weights_that_were_too_different_to_be_shipped_are_noted(
    float32: bytes, tmp_path: Path, metrics: object, is_noted: bool
):
    folder = bundle(tmp_path / "b", metrics=metrics, model=float32)
    notes: list[str] = []
    assert c_sources(folder, int8=True, note=notes.append) == to_c(quantize_weights(float32))
    assert [("98.12% of its decisions" in one and "not corrected" in one) for one in notes] == [
        True
    ] * is_noted
    assert c_sources(folder / "model.onnx", int8=True, note=notes.append) == c_sources(folder, int8=True)
    assert len(notes) == 2 * is_noted
    c_sources(folder, note=notes.append)  # float32 is as good as it was
    assert len(notes) == 2 * is_noted


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


def test_weights_are_rounded_on_request(float32: bytes, tmp_path: Path):
    folder = bundle(tmp_path / "b", model=float32)
    assert c_sources(folder) == to_c(float32)
    assert c_sources(folder, int8=True) == to_c(quantize_weights(float32))


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
