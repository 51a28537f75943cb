"""The C code in a bundle: of the INT8 model if there is one, else of the float32 model."""

from collections.abc import Mapping
from typing import Any

from atml.errors import ModelError
from atml.export.c import CSources, to_c
from atml.reports.bundle import MODEL
from atml.reports.int8 import MODEL_INT8


def c_model(models: Mapping[str, bytes]) -> str:
    """Return which of the model files, by name, becomes C code."""
    return MODEL_INT8 if MODEL_INT8 in models else MODEL


def c_code(models: Mapping[str, bytes]) -> tuple[Mapping[str, str], dict[str, Any]]:
    """Return the C files by name, and what `metrics.json` says of them.

    A network that cannot be generated has none, and the reason is recorded.
    """
    name = c_model(models)
    try:
        sources: CSources = to_c(models[name])
    except ModelError as error:
        return {}, {"model": name, "memory_bytes": None, "refused": str(error)}
    return sources.files, {"model": name, "memory_bytes": sources.memory_bytes, "refused": None}
