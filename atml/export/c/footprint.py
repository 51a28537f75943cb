"""What a network needs on a microcontroller, known before it is trained.

Memory and multiply-accumulates follow from the graph. Flash is measured with the compiler, instructions on
an emulated Cortex-M4F. Only instructions depend on weights, by 1 or 2 %: activations take branches.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import onnx
from onnx import ModelProto, NodeProto

from atml.errors import ModelError
from atml.export.c import tools
from atml.export.c.arena import Step, plan
from atml.export.c.check import measured_on_target
from atml.export.c.graph import prepared
from atml.export.c.sources import CSources, to_c, write_c
from atml.export.classifier import INPUT, OUTPUT
from atml.export.graph import tensor_shapes
from atml.files import temporary_folder

# Counted for the stack of one call. At most 192 bytes were measured of ATML's networks without a GRU, whose
# two states are on the stack: 216 bytes and 8 for each hidden unit. Split and Concat have pointers and sizes
# of all parts there, and their callers more pointers: up to 64 bytes and 25 for each part were measured, of
# which four, as many as ATML's networks have, are in the least.
STACK_BYTES = 512
LEAST_STACK_BYTES, GRU_UNIT_BYTES, PART_BYTES, FEW_PARTS = 256, 8, 25, 4


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """What one network needs; None where it was not measured."""

    #: Memory of `ecm()`, the segment included, and 512 bytes for the stack, more for what needs more.
    ram_bytes: int | None = None
    macs: int | None = None  #: Multiply-accumulates for one segment.
    flash_bytes: int | None = None  #: Code and constants, compiled by GCC with -Os for a Cortex-M4F.
    instructions: int | None = None  #: For one segment on a Cortex-M4F, to the nearest 40; not a time.


def footprint(
    model: bytes, *, flash: bool = False, instructions: bool = False, sources: CSources | None = None
) -> Footprint:
    """Return what the C code of a model that `to_onnx` or `quantize_weights` made needs.

    Flash and instructions are measured only if asked for: of `sources`, if the C code is at hand.

    Raises:
        ModelError: no C code can be generated, or a tool to measure with is missing; names the operator or
            what to install.
    """
    graph = prepared(onnx.load_from_string(model))
    shapes = tensor_shapes(graph)
    return Footprint(
        ram_bytes=4 * _memory(graph, shapes) + _stack_bytes(graph, shapes),
        macs=sum(_macs(node, shapes) for node in graph.graph.node),
        flash_bytes=(_flash_bytes(sources) if sources else flash_bytes(model)) if flash else None,
        instructions=_instructions(sources or to_c(model)) if instructions else None,
    )


@lru_cache(maxsize=256)
def flash_bytes(model: bytes) -> int:
    """Compile the C code of a model for a Cortex-M4F; return the bytes of code and constants.

    Raises:
        ModelError: no C code can be generated, or the compiler is missing.
    """
    return _flash_bytes(to_c(model))


def _flash_bytes(sources: CSources) -> int:
    with _written(sources, tools.missing_for_flash()) as folder:
        return tools.flash_bytes(folder)


def _instructions(sources: CSources) -> int:
    with _written(sources, tools.missing_for_target()) as folder:
        _, instructions = measured_on_target(sources, folder)
        return instructions


@contextmanager
def _written(sources: CSources, missing: Sequence[str]) -> Iterator[Path]:
    """Write C files to a temporary folder, unless packages are missing to measure them."""
    if missing:
        raise ModelError(f"flash and instructions cannot be measured here: {tools.advice(missing)}")
    with temporary_folder() as folder:
        write_c(sources, folder)
        yield folder


def _memory(model: ModelProto, shapes: Mapping[str, list[int]]) -> int:
    """Return how many numbers the tensors need that are not constant."""
    nodes = model.graph.node
    steps = [Step(operator=n.op_type.lower(), reads=tuple(n.input), writes=tuple(n.output)) for n in nodes]
    results = (name for node in nodes for name in node.output if name and name != OUTPUT)
    sizes = {name: math.prod(shapes[name]) for name in (INPUT, *results)}
    _, numbers = plan(steps, sizes, source=INPUT)
    return numbers


def _stack_bytes(model: ModelProto, shapes: Mapping[str, list[int]]) -> int:
    nodes = model.graph.node
    units = (shapes[node.input[2]][-1] for node in nodes if node.op_type == "GRU")
    parts = (max(len(n.input), len(n.output)) for n in nodes if n.op_type in ("Concat", "Split"))
    more_parts = max(0, max(parts, default=0) - FEW_PARTS)
    arrays = GRU_UNIT_BYTES * max(units, default=0) + PART_BYTES * more_parts
    return max(STACK_BYTES, LEAST_STACK_BYTES + arrays)


def _macs(node: NodeProto, shapes: Mapping[str, list[int]]) -> int:
    if node.op_type == "Conv":
        return math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[1]][1:])
    if node.op_type == "Gemm":
        return shapes[node.output[0]][0] * math.prod(shapes[node.input[1]])
    if node.op_type == "GRU":
        steps = shapes[node.input[0]][0]
        return steps * (math.prod(shapes[node.input[1]]) + math.prod(shapes[node.input[2]]))
    return 0
