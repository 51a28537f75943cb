"""Which targets of a spec a trial or a model meets."""

from collections.abc import Mapping
from typing import Any

from atml.reports.html.contents import Target

SIZES = {"onnx": "ONNX file", "int8": "INT8 file", "flash": "flash"}


def targets_met(
    targets: Mapping[str, Any],
    *,
    beta: float,
    fbeta: float | None,
    onnx_bytes: int | None,
    robust_fbeta: float | None,
) -> tuple[Target, ...]:
    """Compare figures, None where there is none, with the targets that a spec sets."""
    name, size = f"F{beta:g}", SIZES[targets.get("size_of", "onnx")]
    rows = [
        (targets.get("fbeta"), "{} at least {:g}", name, fbeta, 1),
        (targets.get("onnx_bytes"), "{} at most {:,} bytes", size, onnx_bytes, -1),
        (targets.get("robust_fbeta"), "{} at least {:g}", f"{name} under disturbances", robust_fbeta, 1),
    ]
    return tuple(
        Target(
            text=words.format(what, wanted),
            reached="not known" if value is None else f"{value:,} bytes" if sign < 0 else f"{value:.4f}",
            met=None if value is None else bool(sign * value >= sign * wanted),
        )
        for wanted, words, what, value, sign in rows
        if wanted is not None
    )
