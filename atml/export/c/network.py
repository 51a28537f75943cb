"""The texts of `ecm.c` and `ecm.h`."""

import math
import re
import textwrap
from collections.abc import Iterable, Mapping

import numpy as np
import onnx
from jinja2 import Environment, PackageLoader, StrictUndefined

from atml.errors import ModelError
from atml.export.c.arena import VIEWS, plan
from atml.export.c.generator import Call, Program, generate
from atml.export.c.graph import prepared
from atml.export.c.sharing import shared
from atml.export.classifier import INPUT, OUTPUT
from atml.export.graph import Array
from atml.export.metadata import OnnxMetadata

_C_TYPES = {"float32": "float", "int8": "int8_t", "uint16": "uint16_t"}
_WIDTH = 100
_TEMPLATES = Environment(  # noqa: S701 - the result is C, not HTML
    loader=PackageLoader("atml.export.c"),
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    undefined=StrictUndefined,
)
# How a 16 bit float is read; the generator sees an integer.
_HALF = re.compile(r"\(float\)(input0(?:\[\w+\])+)")


def network_code(
    model: bytes, metadata: OnnxMetadata, segment_length: int, *, least_confidence: float | None = None
) -> tuple[dict[str, str], int]:
    """Return the text of `ecm.c` and `ecm.h`, and the bytes of memory that their caller provides.

    `model` is what `to_onnx` or `quantize_weights` returned. The segment is in the memory.

    Raises:
        ModelError: names the operator that cannot be generated.
    """
    program = generate(prepared(onnx.load_from_string(model)))
    offsets, size = plan(program.calls, {INPUT: segment_length, **program.temporaries}, source=INPUT)
    facts = {
        "metadata": metadata,
        "samples": segment_length,
        "seconds": segment_length / metadata.sampling_rate_hz,
        "memory": size,
        "margin": _margin(metadata.threshold),
        "least_margin": None if least_confidence is None else _margin(least_confidence),
        "onnx_bytes": len(model),
    }
    source = rendered("ecm.c.j2", **facts, **_parts(program, offsets))
    return {"ecm.c": source, "ecm.h": rendered("ecm.h.j2", **facts)}, 4 * size


def rendered(template: str, **values: object) -> str:
    """Return a text made from one of this package's templates."""
    return _TEMPLATES.get_template(template).render(values)


def array_text(ctype: str, name: str, values: Array) -> str:
    """Return the definition of a constant array, flat."""
    numbers = ", ".join(number_text(value) for value in values.ravel().tolist())
    lines = textwrap.fill(numbers, _WIDTH, break_on_hyphens=False)  # a hyphen is a sign
    return f"static const {ctype} {name}[{values.size}] = {{\n{textwrap.indent(lines, '    ')}\n}};"


def number_text(value: float) -> str:
    """Return a number as C reads it, with as many digits as a 32 bit float needs."""
    if isinstance(value, int):
        return str(value)
    shortest = np.format_float_positional(np.float32(value), unique=True, trim="0")
    if len(shortest) > 14:
        shortest = np.format_float_scientific(np.float32(value), unique=True, trim="0")
    return f"{shortest}f"


def _margin(threshold: float) -> str:
    """Return the difference of the logits at which the probability is `threshold`."""
    if threshold <= 0:
        return "-INFINITY"
    return "INFINITY" if threshold >= 1 else number_text(math.log(threshold / (1 - threshold)))


def _parts(program: Program, offsets: Mapping[str, int]) -> dict[str, object]:
    """Return the constants, functions and calls of a network, as text."""
    calls = [
        call for call in program.calls if not (call.operator in VIEWS and set(call.writes) <= offsets.keys())
    ]
    texts, callees = shared(calls)
    functions = [_tidy(text) for text in texts]
    read = {name for call in calls for name in call.reads}
    constants = {name: value for name, value in program.constants.items() if name in read}
    places = {name: f"AT({offset})" for name, offset in offsets.items()}
    places |= {name: f"ROM({name})" for name in constants} | {OUTPUT: f"(void *){OUTPUT}"}
    if unknown := {n for call in calls for n in call.arguments} - places.keys():
        raise ModelError(
            f"C code cannot be generated: tensors of another type than float: {sorted(unknown)}."
        )
    return {
        "scaled": offsets[_scaling(calls[0])],
        "constants": [array_text(_C_TYPES[v.dtype.name], name, v) for name, v in constants.items()],
        "helpers": _used(program.helpers, functions),
        "functions": functions,
        "calls": [_call(*callees[call.function], *(places[a] for a in call.arguments)) for call in calls],
        "logits": OUTPUT,
        "halves": any("uint16_t" in text for text in functions),
        "copies": any("memcpy" in text or "uint16_t" in text for text in functions),
    }


def _call(name: str, *arguments: str) -> str:
    return f"{name}({', '.join(arguments)});"


def _scaling(first: Call) -> str:
    """Return the tensor that the scaling of the segment writes, which begins every network of ATML.

    All its numbers are NaN if one sample of the segment is not finite.
    """
    if first.operator != "instancenormalization" or INPUT not in first.reads:
        raise ModelError("C code cannot be generated: the network does not begin by scaling the segment.")
    return first.writes[0]


def _tidy(text: str) -> str:
    text = text.replace("EMX_NODE_FN", "static").replace("idx_t", "int")
    return _HALF.sub(r"from_half(\1)", text) if "uint16_t" in text else text


def _used(helpers: dict[str, str], functions: Iterable[str]) -> list[str]:
    """Return the helpers that the functions need, directly or through other helpers."""
    kept: list[str] = []
    needed = "\n".join(functions)
    for name, text in reversed(helpers.items()):
        if f"{name}(" in needed:
            kept.insert(0, text.replace("static inline", "static"))
            needed += text.split("{", 1)[1]
    return kept
