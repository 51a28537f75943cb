"""Making an exported ONNX graph small without changing what it computes.

The size of the result depends only on the network's structure, not on the values of its weights,
so it is known before training.
"""

from collections import Counter
from collections.abc import Mapping
from functools import cache
from itertools import count, product
from string import ascii_letters

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, helper, numpy_helper

from atml.export.batch_norm import fold_batch_norms
from atml.export.graph import Graph, tensor_shapes, with_batch

OPSET = 17  # ReduceMean's axes are still an attribute, which is smaller than an input
_BATCH = 100_003  # a prime that equals no width or length, so every occurrence is the batch size

# What reduces over time, and what does the same without attributes.
_GLOBAL_POOLS = {"ReduceMean": "GlobalAveragePool", "ReduceMax": "GlobalMaxPool"}

# A kernel's shape follows from its weights, and momentum matters only in training.
_NOT_NEEDED = {("Conv", "kernel_shape"), ("BatchNormalization", "momentum")}
# ONNX's defaults for every axis, which the operators' definitions have only as text.
_DEFAULTS_BY_AXIS = {"dilations": 1, "pads": 0, "strides": 1}


def slim(model: ModelProto) -> ModelProto:
    """Return a smaller model with the same inputs, outputs and results."""
    graph = Graph(model)
    _skip_identities(graph)
    shapes = tensor_shapes(with_batch(model, _BATCH))
    _fix_reshapes(graph, shapes)
    _pool_globally(graph, shapes)
    _drop_zero_states(graph)
    _transpose_weights(graph)
    fold_batch_norms(graph)
    graph.drop_unused()
    _drop_default_attributes(graph)
    _unshare_weights(graph)
    _merge_constants(graph)
    shorten_names(graph)
    return graph.to_model()


def _skip_identities(graph: Graph) -> None:
    for node in list(graph.nodes):
        if node.op_type == "Identity" and node.output[0] not in graph.outputs:
            graph.replace(node.output[0], node.input[0])
            graph.nodes.remove(node)


def _fix_reshapes(graph: Graph, shapes: Mapping[str, list[int]]) -> None:
    """Replace shapes that the exporter computes from the batch size by constants."""
    if not any(node.op_type == "Shape" for node in graph.nodes):
        return
    for node in graph.nodes:
        shape = [-1 if size == _BATCH else size for size in shapes.get(node.output[0], [])]
        if node.op_type == "Reshape" and shape.count(-1) == 1 and 0 not in shape:
            node.input[1] = graph.add_constant(np.array(shape, dtype=np.int64))


def _pool_globally(graph: Graph, shapes: Mapping[str, list[int]]) -> None:
    """Replace means and maxima over time by global pools, which need no attributes.

    A pool keeps the axis, so a Flatten drops it. Parts that are joined are flattened afterwards, together.
    """
    flat: dict[str, NodeProto] = {}  # the Flatten that makes a tensor
    for node in list(graph.nodes):
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type in _GLOBAL_POOLS and _is_over_time(attributes, shapes.get(node.input[0], [])):
            node.op_type = _GLOBAL_POOLS[node.op_type]
            del node.attribute[:]
            if attributes.get("keepdims", 1):
                continue
        elif node.op_type == "Concat" and attributes["axis"] == 1 and flat.keys() >= set(node.input):
            node.input[:] = [flat[name].input[0] for name in node.input]
        else:
            continue
        result, node.output[0] = node.output[0], graph.add_name()
        flat[result] = helper.make_node("Flatten", node.output, [result])
        graph.nodes.insert(graph.nodes.index(node) + 1, flat[result])


def _is_over_time(attributes: Mapping[str, object], shape: list[int]) -> bool:
    """Whether a reduction of a tensor [batch, channels, time] is over its last axis."""
    return len(shape) == 3 and attributes.get("axes") in ([2], [-1])


def _transpose_weights(graph: Graph) -> None:
    """Store a linear layer's weights as they are used, so that no attribute has to say otherwise."""
    for node in graph.nodes:
        if node.op_type == "Gemm" and node.input[1] in graph.weights:
            turned = [a for a in node.attribute if a.name == "transB" and a.i]
            if turned:
                node.input[1] = graph.add_weight(graph.weights[node.input[1]].T)
                node.attribute.remove(turned[0])


def _drop_zero_states(graph: Graph) -> None:
    """Drop the initial state of recurrent layers: zero is ONNX's default."""
    zeros = {name for node in graph.nodes if _makes_zeros(node) for name in node.output}
    for node in graph.nodes:
        if node.op_type == "GRU" and len(node.input) > 5 and node.input[5] in zeros:
            del node.input[5:]
            while not node.input[-1]:
                node.input.pop()


def _makes_zeros(node: NodeProto) -> bool:
    return node.op_type == "ConstantOfShape" and all(
        not numpy_helper.to_array(attribute.t).any() for attribute in node.attribute
    )


def _drop_default_attributes(graph: Graph) -> None:
    for node in (node for node in graph.nodes if not node.domain):  # ONNX's own
        kept = [a for a in node.attribute if not _is_default(node.op_type, a)]
        del node.attribute[:]
        node.attribute.extend(kept)


def _is_default(operator: str, attribute: onnx.AttributeProto) -> bool:
    if attribute.name in _DEFAULTS_BY_AXIS:
        return all(item == _DEFAULTS_BY_AXIS[attribute.name] for item in attribute.ints)
    default = _default(operator, attribute.name)
    return attribute == default or (operator, attribute.name) in _NOT_NEEDED


@cache
def _default(operator: str, name: str) -> onnx.AttributeProto | None:
    """Return the value of an attribute that is omitted, as ONNX defines the operator."""
    known = onnx.defs.has(operator, OPSET, "")
    attributes = onnx.defs.get_schema(operator, OPSET, "").attributes if known else {}
    return attributes[name].default_value if name in attributes else None


def _unshare_weights(graph: Graph) -> None:
    """Give each use of a weight its own copy.

    The exporter stores equal tensors once. Untrained BatchNorm statistics are often equal, trained ones
    are not, and the size must not depend on that.
    """
    uses: Counter[str] = Counter()
    for node in graph.nodes:
        for slot, name in enumerate(node.input):
            if name in graph.weights:
                uses[name] += 1
                if uses[name] > 1:
                    node.input[slot] = graph.add_weight(graph.weights[name])


def _merge_constants(graph: Graph) -> None:
    first: dict[tuple[str, tuple[int, ...], bytes], str] = {}
    for name, value in list(graph.constants.items()):
        kept = first.setdefault((str(value.dtype), value.shape, value.tobytes()), name)
        if kept != name:
            graph.replace(name, kept)
            del graph.constants[name]


def shorten_names(graph: Graph) -> None:
    """Name all tensors but inputs and outputs a, b, c, ... and drop the names of nodes."""
    names = ("".join(letters) for length in count(1) for letters in product(ascii_letters, repeat=length))
    short = {name: name for name in (*graph.inputs, *graph.outputs, "")}
    for node in graph.nodes:
        for name in (*node.input, *node.output):
            if name not in short:
                short[name] = next(names)
    for node in graph.nodes:
        node.ClearField("name")
        node.input[:] = [short[name] for name in node.input]
        node.output[:] = [short[name] for name in node.output]
    graph.weights = {short[name]: value for name, value in graph.weights.items()}
    graph.constants = {short[name]: value for name, value in graph.constants.items()}
