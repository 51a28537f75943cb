"""The C code of a bundle: of the INT8 model if there is one, else of the float32 model."""

from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from atml.errors import ModelError
from atml.export import OnnxClassifier, quantize_weights
from atml.export.c import CSources, Footprint, footprint, known_footprint, to_c
from atml.reports.bundle import MODEL, load_bundle
from atml.reports.int8 import MODEL_INT8


def c_model(names: Collection[str]) -> str:
    """Return which of a bundle's files becomes C code."""
    return MODEL_INT8 if MODEL_INT8 in names else MODEL


def c_sources(place: Path, *, int8: bool = False) -> CSources:
    """Return the C code of a bundle, as it was shipped, or of an ONNX file.

    With `int8`, float32 weights are rounded to INT8.

    Raises:
        ModelError: there is no such model, or it cannot be generated.
    """
    least_confidence = None
    if place.is_dir():
        bundle = load_bundle(place)
        place = bundle.folder / c_model([file["name"] for file in bundle.manifest["files"]])
        content, least_confidence = bundle.content(place.name), bundle.least_confidence
    else:
        OnnxClassifier(place)  # names the file if it is no model
        content = place.read_bytes()
    if int8 and place.name != MODEL_INT8:
        content = quantize_weights(content)
    return to_c(content, least_confidence=least_confidence)


def c_code(
    models: Mapping[str, bytes], least_confidence: float | None = None
) -> tuple[Mapping[str, str], dict[str, Any]]:
    """Return the C files by name, and what `metrics.json` says of them.

    Answers with less than `least_confidence` are to be withheld.

    A network that cannot be generated has none, and the reason is recorded.
    """
    name = c_model(models)
    try:
        sources: CSources = to_c(models[name], least_confidence=least_confidence)
    except ModelError as error:
        refused = {"model": name, "memory_bytes": None, "refused": str(error)}
        return {}, {**refused, **asdict(Footprint())}
    try:
        needed = known_footprint(models[name])
    except ModelError:  # a tool is installed but fails: what it measures is not known
        needed = footprint(models[name])
    figures = {"model": name, "memory_bytes": sources.memory_bytes, "refused": None}
    return sources.files, {**figures, **asdict(needed)}
