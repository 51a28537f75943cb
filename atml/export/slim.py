"""Making an exported ONNX graph small without changing what it computes.

The size of the result depends only on the network's structure, not on the values of its weights,
so it is known before training.
"""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, helper, numpy_helper

from atml.export.batch_norm import fold_batch_norms
from atml.export.graph import Graph

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_BATCH = 100_003  # a prime that equals no width or length, so every occurrence is the batch size

# ONNX's defaults for omitted attributes. A convolution's kernel_shape follows from its weights, and
# BatchNormalization's momentum matters only in training.
_DEFAULTS: dict[str, dict[str, object]] = {
    "AveragePool": {"ceil_mode": 0, "count_include_pad": 0, "pads": 0, "strides": 1},
    "BatchNormalization": {"epsilon": 1e-5, "momentum": None, "training_mode": 0},
    "Conv": {"dilations": 1, "group": 1, "kernel_shape": None, "pads": 0, "strides": 1},
    "Flatten": {"axis": 1},
    "GRU": {"direction": "forward", "layout": 0, "linear_before_reset": 0},
    "Gemm": {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0},
    "InstanceNormalization": {"epsilon": 1e-5},
    "MaxPool": {"ceil_mode": 0, "dilations": 1, "pads": 0, "storage_order": 0, "strides": 1},
    "ReduceMax": {"keepdims": 1},
    "ReduceMean": {"keepdims": 1},
    "Reshape": {"allowzero": 0},
}


def slim(model: ModelProto) -> ModelProto:
    """Return a smaller model with the same inputs, outputs and results."""
    graph = Graph(model)
    _skip_identities(graph)
    _fix_reshapes(graph, model)
    _drop_zero_states(graph)
    fold_batch_norms(graph)
    graph.drop_unused()
    _drop_default_attributes(graph)
    _unshare_weights(graph)
    _merge_constants(graph)
    _shorten_names(graph)
    return graph.to_model()


def _skip_identities(graph: Graph) -> None:
    for node in list(graph.nodes):
        if node.op_type == "Identity" and node.output[0] not in graph.outputs:
            graph.replace(node.output[0], node.input[0])
            graph.nodes.remove(node)


def _fix_reshapes(graph: Graph, model: ModelProto) -> None:
    """Replace shapes that the exporter computes from the batch size by constants."""
    if not any(node.op_type == "Shape" for node in graph.nodes):
        return
    shapes = _shapes(model)
    for node in graph.nodes:
        shape = [-1 if size == _BATCH else size for size in shapes.get(node.output[0], [])]
        if node.op_type == "Reshape" and shape.count(-1) == 1 and 0 not in shape:
            node.input[1] = graph.add_constant(np.array(shape, dtype=np.int64))


def _shapes(model: ModelProto) -> dict[str, list[int]]:
    """Return the shape of every tensor for a batch of _BATCH, 0 where it cannot be inferred."""
    fixed = ModelProto()
    fixed.CopyFrom(model)
    for value in (*fixed.graph.input, *fixed.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = _BATCH
    del fixed.graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(fixed, data_prop=True)
    return {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in inferred.graph.value_info
    }


def _drop_zero_states(graph: Graph) -> None:
    """Drop the initial state of recurrent layers: zero is ONNX's default."""
    for node in graph.nodes:
        if node.op_type == "GRU" and len(node.input) > 5:
            producer = graph.producer(node.input[5])
            if producer is not None and _makes_zeros(producer):
                del node.input[5:]
                while not node.input[-1]:
                    node.input.pop()


def _makes_zeros(node: NodeProto) -> bool:
    return node.op_type == "ConstantOfShape" and all(
        not numpy_helper.to_array(attribute.t).any() for attribute in node.attribute
    )


def _drop_default_attributes(graph: Graph) -> None:
    for node in graph.nodes:
        defaults = _DEFAULTS.get(node.op_type, {})
        kept = [a for a in node.attribute if a.name not in defaults or not _is_default(a, defaults)]
        del node.attribute[:]
        node.attribute.extend(kept)


def _is_default(attribute: onnx.AttributeProto, defaults: dict[str, object]) -> bool:
    default = defaults[attribute.name]
    value = helper.get_attribute_value(attribute)
    if default is None:
        return True
    if isinstance(default, float):
        return bool(np.float32(default) == np.float32(value))
    if isinstance(value, list):
        return all(item == default for item in value)
    return bool((value.decode() if isinstance(value, bytes) else value) == default)


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


def _shorten_names(graph: Graph) -> None:
    names = _short_names()
    short = {name: name for name in (*graph.inputs, *graph.outputs, "")}
    for node in graph.nodes:
        for name in (*node.input, *node.output):
            if name not in short:
                short[name] = next(names)
    for node in graph.nodes:
        node.name = ""
        node.input[:] = [short[name] for name in node.input]
        node.output[:] = [short[name] for name in node.output]
    graph.weights = {short[name]: value for name, value in graph.weights.items()}
    graph.constants = {short[name]: value for name, value in graph.constants.items()}


def _short_names() -> Iterator[str]:
    """Yield a, b, ... z, aa, ab, ..."""
    yield from _LETTERS
    for prefix in _short_names():
        for letter in _LETTERS:
            yield prefix + letter
