"""The C code of a bundle: of the INT8 model if there is one, else of the float32 model."""

from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from atml.errors import ModelError
from atml.export import OnnxClassifier
from atml.export.c import CSources, Footprint, footprint, to_c, tools
from atml.reports.bundle import MODEL, bundle_of
from atml.reports.int8 import MODEL_INT8


def c_model(names: Collection[str]) -> str:
    """Return which of a bundle's files becomes C code."""
    return MODEL_INT8 if MODEL_INT8 in names else MODEL


def c_sources(place: Path) -> CSources:
    """Return the C code of a bundle's folder, as it was shipped, or of an ONNX file, in a bundle or not.

    Raises:
        ModelError: there is no such model, or it cannot be generated.
    """
    bundle = bundle_of(place)
    if bundle is None:
        OnnxClassifier(place)  # names the file if it is no model
        return to_c(place.read_bytes())
    listed = [file["name"] for file in bundle.manifest["files"]]
    name = c_model(listed) if place.is_dir() else bundle.file
    return to_c(bundle.content(name), least_confidence=bundle.least_confidence)


def c_code(
    models: Mapping[str, bytes], least_confidence: float | None = None
) -> tuple[Mapping[str, str], dict[str, Any]]:
    """Return the C files by name, and what `metrics.json` says of them.

    Answers with less than `least_confidence` are to be withheld. A network that cannot be generated has no
    files, and the reason is recorded.
    """
    name = c_model(models)
    try:
        sources: CSources = to_c(models[name], least_confidence=least_confidence)
    except ModelError as error:
        refused = {"model": name, "memory_bytes": None, "refused": str(error)}
        return {}, {**refused, **asdict(Footprint())}
    try:
        flash, instructions = not tools.missing_for_flash(), not tools.missing_for_target()
        needed = footprint(models[name], flash=flash, instructions=instructions, sources=sources)
    except ModelError:  # a tool is installed but fails: what it measures is not known
        needed = footprint(models[name])
    figures = {"model": name, "memory_bytes": sources.memory_bytes, "refused": None}
    return sources.files, {**figures, **asdict(needed)}
