"""The C code in a bundle: of the INT8 model if there is one, else of the float32 model."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from atml.errors import ModelError
from atml.export.c import CSources, Footprint, known_footprint, to_c
from atml.reports.bundle import MODEL
from atml.reports.int8 import MODEL_INT8


def c_model(models: Mapping[str, bytes]) -> str:
    """Return which of the model files, by name, becomes C code."""
    return MODEL_INT8 if MODEL_INT8 in models else MODEL


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
    figures = {"model": name, "memory_bytes": sources.memory_bytes, "refused": None}
    return sources.files, {**figures, **asdict(known_footprint(models[name]))}
