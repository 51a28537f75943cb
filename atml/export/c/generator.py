"""emx-onnx-cgen: from an ONNX model to C functions, one for each node, and the calls of them."""

import atexit
import math
import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from onnx import ModelProto, NodeProto, numpy_helper

from atml.errors import ModelError
from atml.export.c.arena import Step
from atml.export.graph import Array, tensor_shapes
from atml.files import cannot_write, temporary_folder

_CONSTANT = re.compile(r"^const EMX_UNUSED \w+ (weight\d+_(\w+))\[", re.MULTILINE)
_FUNCTION = re.compile(r"^EMX_NODE_FN void (node\d+_(\w+))\((.*?)\) \{\n.*?^\}$", re.MULTILINE | re.DOTALL)
_HELPER = re.compile(r"^static inline \w+ (\w+)\(.*?^\}$", re.MULTILINE | re.DOTALL)
_TEMPORARY = re.compile(r"^    float (tmp\w+)((?:\[\d+\])+);$", re.MULTILINE)
_CALL = re.compile(r"^    (node\d+_\w+)\((.*)\);$", re.MULTILINE)
_NUMBER = re.compile(r"\d+")
_BODY = "\nvoid model("

# The operators that ATML's networks use, by the generator's template; Squeeze is of GRUs in one direction.
_OPERATORS = {
    "batch_norm": ("BatchNormalization",),
    "binary": ("Add", "Mul", "Sub"),
    "cast": ("Cast",),
    "clip": ("Clip",),
    "concat": ("Concat",),
    "conv": ("Conv",),
    "dequantize_linear": ("DequantizeLinear",),
    "gemm": ("Gemm",),
    "gru": ("GRU",),
    "instance_normalization": ("InstanceNormalization",),
    "maxpool": ("MaxPool",),
    "reduce": ("GlobalAveragePool", "GlobalMaxPool", "ReduceMax", "ReduceMean"),
    "reshape": ("Flatten", "Reshape", "Squeeze", "Unsqueeze"),
    "split": ("Split",),
    "transpose": ("Transpose",),
    "unary": ("Abs", "HardSwish", "Relu", "Sigmoid", "Sqrt"),
}
# The axis of the batch in the input of each operator whose template, of this package, computes one segment.
_BATCH_AXIS = {"Conv": 0, "GRU": 1, "InstanceNormalization": 0}


@dataclass(frozen=True, kw_only=True)
class Call(Step):
    """One node: a function, which has the operator's name, and the tensors that are its arguments."""

    function: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Program:
    """A network in C, before its tensors have places."""

    constants: dict[str, Array]
    helpers: dict[str, str]  # functions that functions of nodes call, by name
    temporaries: dict[str, int]  # numbers in each tensor
    calls: tuple[Call, ...]


def generate(model: ModelProto) -> Program:
    """Generate C for a model that `prepared` returned.

    Raises:
        ModelError: names the operator that cannot be generated.
    """
    head, body = _generated(model).split(_BODY)
    values = {t.name.replace(".", "_"): numpy_helper.to_array(t) for t in model.graph.initializer}
    functions = {match[1]: match for match in _FUNCTION.finditer(head)}
    return Program(
        constants={match[1]: values[match[2]] for match in _CONSTANT.finditer(head)},
        helpers={match[1]: match[0] for match in _HELPER.finditer(head)},
        temporaries={
            match[1]: math.prod(map(int, _NUMBER.findall(match[2]))) for match in _TEMPORARY.finditer(body)
        },
        calls=tuple(
            _call(functions[match[1]], tuple(match[2].split(", "))) for match in _CALL.finditer(body)
        ),
    )


def check_operators(model: ModelProto) -> None:
    """Refuse what the templates of this package do not cover in a model with fixed shapes.

    Raises:
        ModelError: names the operator.
    """
    shapes = tensor_shapes(model)
    # First: a reshape to two axes may be made of operators that are not supported either.
    if any(len(shapes.get(node.input[1], ())) > 3 for node in model.graph.node if node.op_type == "Conv"):
        raise ModelError(
            "C code cannot be generated: convolutions over more than one axis, such as Conv2d, are not "
            "supported."
        )
    for node in model.graph.node:
        if not any(node.op_type in operators for operators in _OPERATORS.values()):
            raise ModelError(f"C code cannot be generated: the operator {node.op_type} is not supported.")
        if node.op_type == "GRU" and not _is_plain_gru(node):
            raise ModelError(
                "C code cannot be generated: a GRU must have linear_before_reset, sigmoid and tanh, "
                "no clipping and no initial state."
            )
        axis = _BATCH_AXIS.get(node.op_type)
        if axis is not None and shapes[node.input[0]][axis] != 1:
            raise ModelError(
                f"C code cannot be generated: {node.op_type} of several parts of a segment at once is not "
                "supported."
            )


def _is_plain_gru(node: NodeProto) -> bool:
    attributes = {a.name: a.i for a in node.attribute}
    known = attributes.keys() <= {"direction", "hidden_size", "linear_before_reset"}
    return known and attributes.get("linear_before_reset") == 1 and len(node.input) <= 4


def _generated(model: ModelProto) -> str:
    # Late: it takes most of a second to import, and most commands generate nothing.
    from emx_onnx_cgen import CodegenError

    try:
        text: str = _compiler().compile(model)
    except CodegenError as error:
        raise ModelError(f"C code cannot be generated: {error}") from error
    return text


@cache
def _compiler() -> Any:
    """Return the generator; it is kept, since it compiles its templates when it is first used."""
    from emx_onnx_cgen import Compiler
    from emx_onnx_cgen.compiler import CompilerOptions

    until_exit = ExitStack()
    atexit.register(until_exit.close)
    templates = until_exit.enter_context(temporary_folder())
    try:
        _write_templates(templates)
    except OSError as error:
        raise cannot_write(templates, error) from None
    _read_directions()
    return Compiler(
        CompilerOptions(
            template_dir=templates,
            restrict_arrays=False,
            large_temp_threshold_bytes=0,
            large_weight_threshold=0,
        )
    )


def _write_templates(folder: Path) -> None:
    """Write the templates that are needed, those of this package before the generator's.

    The generator compiles all of its 169 templates for every model, which takes seconds: the rest is empty.
    """
    ours, theirs = (resources.files(package) / "templates" for package in ("atml.export.c", "emx_onnx_cgen"))
    for template in theirs.iterdir():
        text = ""
        if template.name.removesuffix("_op.c.j2") in _OPERATORS:
            source = ours / template.name
            text = (source if source.is_file() else template).read_text(encoding="utf-8")
        (folder / template.name).write_text(text, encoding="utf-8")


def _read_directions() -> None:
    """Let the generator read a GRU's direction: version 1.4 expects text and gets bytes."""
    from emx_onnx_cgen.lowering.registry import get_lowering, register_lowering

    lower: Any = get_lowering("GRU")

    def lower_gru(graph: Any, node: Any) -> Any:
        texts = {n: v.decode() if isinstance(v, bytes) else v for n, v in node.attrs.items()}
        return lower(graph, replace(node, attrs=texts))

    register: Callable[..., Any] = register_lowering("GRU")
    register(lower_gru)


def _call(function: re.Match[str], arguments: tuple[str, ...]) -> Call:
    text, name, operator, parameters = function.group(0, 1, 2, 3)
    pairs = list(zip(arguments, parameters.split(", "), strict=True))
    return Call(
        operator=operator,
        reads=tuple(argument for argument, parameter in pairs if parameter.startswith("const ")),
        writes=tuple(argument for argument, parameter in pairs if not parameter.startswith("const ")),
        function=text.replace(f" {name}(", f" {operator}(", 1),
        arguments=arguments,
    )
