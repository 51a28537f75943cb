"""The C code of a bundle: of the INT8 model if there is one, else of the float32 model."""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from atml.errors import ModelError
from atml.export import OnnxClassifier, quantize_weights
from atml.export.c import CSources, Footprint, footprint, known_footprint, to_c
from atml.reports.bundle import DAMAGE, MODEL, bundle_of
from atml.reports.int8 import MODEL_INT8


def c_model(names: Collection[str]) -> str:
    """Return which of a bundle's files becomes C code."""
    return MODEL_INT8 if MODEL_INT8 in names else MODEL


def c_sources(
    place: Path, *, int8: bool = False, note: Callable[[str], None] = lambda text: None
) -> CSources:
    """Return the C code of a bundle, as it was shipped, of one of its models, or of another ONNX file.

    Args:
        place: The bundle's folder or the file.
        int8: Use a bundle's INT8 model; if there is none, round float32 weights.
        note: Is told if those are weights that were not good enough to be shipped.

    Raises:
        ModelError: there is no such model, or it cannot be generated.
    """
    bundle = bundle_of(place)
    if bundle is None:
        OnnxClassifier(place)  # names the file if it is no model
        content = place.read_bytes()
        return to_c(quantize_weights(content) if int8 and place.name != MODEL_INT8 else content)
    name = bundle.file
    if name == MODEL and (int8 or place.is_dir()):
        name = c_model([file["name"] for file in bundle.manifest["files"]])
    content = bundle.content(name)
    if int8 and name == MODEL:
        content = quantize_weights(content)
        equal = _refused_int8(bundle.folder / "metrics.json")
        if equal is not None:
            note(
                f"the INT8 version of this model was not shipped: {equal:.2%} of its decisions are those of "
                f"{MODEL}. This is another one, which was not compared and whose logits are not corrected."
            )
    return to_c(content, least_confidence=bundle.least_confidence)


def _refused_int8(metrics: Path) -> float | None:
    """Return the share of equal decisions that was too small to ship an INT8 version, None if it was not."""
    try:
        int8 = json.loads(metrics.read_bytes())["int8"] or {"shipped": True}  # null if it is not smaller
        return None if int8["shipped"] else float(int8["decisions_equal"])
    except (OSError, *DAMAGE):  # it only matters to a note
        return None


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
        needed = known_footprint(models[name])
    except ModelError:  # a tool is installed but fails: what it measures is not known
        needed = footprint(models[name])
    figures = {"model": name, "memory_bytes": sources.memory_bytes, "refused": None}
    return sources.files, {**figures, **asdict(needed)}
