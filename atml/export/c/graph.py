"""An ONNX model as the C generator takes it: one segment at a time, each weight beside its layer.

The INT8 file keeps weights of many layers in one tensor. Here every layer gets its own int8 array and
restores it just before it runs, so that only one layer's weights are in memory at a time.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper

from atml.errors import ModelError
from atml.export.c.generator import check_operators
from atml.export.graph import Array, Graph, with_batch


@dataclass(frozen=True, kw_only=True)
class _Stored:
    """A weight as it is stored: floats of 16 or 32 bits, or int8 codes with a scale for each channel."""

    values: Array
    scales: Array | None = None
    axis: int | None = None  # of the channels; None: one scale for all values

    def part(self, start: int, stop: int) -> "_Stored":
        """Return a part along the first axis."""
        scales = self.scales[start:stop] if self.scales is not None and self.axis == 0 else self.scales
        return _Stored(values=self.values[start:stop], scales=scales, axis=self.axis)


_Found = dict[str, _Stored]


def prepared(model: ModelProto) -> ModelProto:
    """Return the model for a batch of one, without weights that several layers share.

    16 bit floats become integers of the same bits, since C99 has no type for them; a Cast marks where they
    are to be read as floats.

    Raises:
        ModelError: its activations are integers, an operator is not supported, its weights are stored in a
            way that `to_onnx` and `quantize_weights` do not use, or a tensor's name cannot be printed.
    """
    if any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        raise ModelError(
            "C code cannot be generated from a full-integer model; give model.onnx or model.int8.onnx."
        )
    check_operators(with_batch(model, 1))
    graph = Graph(model)
    # The generator writes names into comments, and a second line could pass for one of its functions.
    if not all(name.isprintable() for node in graph.nodes for name in (*node.input, *node.output)):
        raise ModelError("C code cannot be generated: a tensor's name has characters that cannot be printed.")
    found = _take_weights(graph)
    nodes, graph.nodes[:] = list(graph.nodes), []
    restored: dict[str, str] = {}
    for node in nodes:
        for slot, name in enumerate(node.input):
            if name in found and name not in restored:
                restored[name] = _restored(graph, found[name])
            elif name in graph.constants and name not in restored:
                # Under a new name: the generator ignores the case of names.
                restored[name] = graph.add_constant(graph.constants.pop(name))
            node.input[slot] = restored.get(name, name)
        if node.op_type == "GlobalAveragePool":  # as generated, it copies each channel to the stack
            node = helper.make_node("ReduceMean", node.input, node.output, axes=[2], keepdims=1)
        graph.nodes.append(node)
    fixed = with_batch(graph.to_model(), 1)
    _join_swish(fixed)
    return fixed


def _take_weights(graph: Graph) -> _Found:
    """Remove all weights and the nodes that restore them; return how each is stored."""
    found = {name: _Stored(values=value) for name, value in graph.weights.items()}
    found |= {n: _Stored(values=v) for n, v in graph.constants.items() if v.dtype == np.int8}
    for node in list(graph.nodes):
        if all(name in found or name in graph.constants for name in node.input):
            found |= zip(node.output, _read(graph, node, found), strict=True)
            graph.nodes.remove(node)
    graph.weights.clear()
    graph.constants = {n: v for n, v in graph.constants.items() if n not in found}
    return found


def _read(graph: Graph, node: NodeProto, found: _Found) -> list[_Stored]:
    """Return how the weights that a node restores are stored."""
    match node.op_type, [found[name] for name in node.input if name in found]:
        case "Cast", [stored]:
            return [stored]
        case "Split", [stored]:
            count = len(node.output)
            equal = [len(stored.values) // count] * count
            ends = np.cumsum(graph.constants[node.input[1]] if len(node.input) > 1 else equal).tolist()
            return [stored.part(start, stop) for start, stop in zip([0, *ends], ends, strict=False)]
        case "DequantizeLinear", [codes, scales]:
            axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
            by_channel = scales.values.size > 1
            return [_Stored(values=codes.values, scales=scales.values, axis=axis if by_channel else None)]
        case "Mul", [codes, scales]:
            return [_Stored(values=codes.values, scales=scales.values, axis=1)]
    raise ModelError(f"C code cannot be generated: {node.op_type} of a weight is not supported.")


def _restored(graph: Graph, weight: _Stored) -> str:
    """Add a weight and what restores its floats; return the name of the floats."""
    if weight.scales is None:
        return _floats(graph, weight.values)
    codes = graph.add_weight(weight.values)
    scales = _floats(graph, weight.scales.reshape(-1 if weight.axis is not None else ()))
    restored = graph.add_name()
    axis: dict[str, Any] = {} if weight.axis is None else {"axis": weight.axis}
    graph.nodes.append(helper.make_node("DequantizeLinear", [codes, scales], [restored], **axis))
    return restored


def _floats(graph: Graph, values: Array) -> str:
    if values.dtype != np.float16:
        return graph.add_weight(values)
    bits = graph.add_weight(values.view(np.uint16))
    restored = graph.add_name()
    graph.nodes.append(helper.make_node("Cast", [bits], [restored], to=TensorProto.FLOAT))
    return restored


def _join_swish(model: ModelProto) -> None:
    """Make one node of x * sigmoid(x), so that no second copy of x is needed.

    Opset 17 has no Swish, so this comes after the inference of shapes.
    """
    nodes = model.graph.node
    for node in [node for node in nodes if node.op_type == "Sigmoid"]:
        readers = [other for other in nodes if node.output[0] in other.input]
        if len(readers) == 1 and readers[0].op_type == "Mul" and node.input[0] in readers[0].input:
            readers[0].op_type = "Swish"
            readers[0].input[:] = node.input
            nodes.remove(node)
