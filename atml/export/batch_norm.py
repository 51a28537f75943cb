"""Fold a BatchNormalization into the layer that follows it.

The exporter itself folds one that follows a convolution. AFNet's follow the activation, so they are
folded into the next convolution instead.
"""

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, helper

from atml.export.graph import Graph

Weights = NDArray[np.float64]


def fold_batch_norms(graph: Graph) -> None:
    """Fold each BatchNormalization whose only consumer is an unpadded convolution."""
    for node in list(graph.nodes):
        if node.op_type != "BatchNormalization":
            continue
        readers = [other for other in graph.nodes if node.output[0] in other.input]
        learned = all(name in graph.weights for name in node.input[1:5])  # not if it is without affine
        if learned and len(readers) == 1 and _can_absorb(graph, readers[0], node.output[0]):
            scale, shift = _affine(graph, node)
            _absorb(graph, readers[0], scale, shift)
            graph.replace(node.output[0], node.input[0])
            graph.nodes.remove(node)


def _can_absorb(graph: Graph, node: NodeProto, name: str) -> bool:
    """Whether `node` is a convolution over time that can absorb a scale and a shift of its input.

    With padding it cannot: the zeros at the edges are not shifted.
    """
    if node.op_type != "Conv" or node.input[0] != name or node.input[1] not in graph.weights:
        return False
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    return (
        graph.weights[node.input[1]].ndim == 3
        and not any(attributes.get("pads", ()))
        and attributes.get("auto_pad", b"NOTSET") == b"NOTSET"
        and attributes.get("group", 1) == 1
    )


def _affine(graph: Graph, node: NodeProto) -> tuple[Weights, Weights]:
    scale, bias, mean, variance = (graph.weights[name].astype(np.float64) for name in node.input[1:5])
    epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
    factor = scale / np.sqrt(variance + epsilon)
    return factor, bias - mean * factor


def _absorb(graph: Graph, convolution: NodeProto, scale: Weights, shift: Weights) -> None:
    kernel = graph.weights[convolution.input[1]].astype(np.float64)  # [outputs, inputs, time]
    bias = np.einsum("oit,i->o", kernel, shift)
    if len(convolution.input) > 2:
        bias += graph.weights[convolution.input[2]]
    scaled = kernel * scale[None, :, None]
    names = [graph.add_weight(array.astype(np.float32)) for array in (scaled, bias)]
    convolution.input[1:] = names
