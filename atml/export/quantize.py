"""Weight-only INT8: the graph that `to_onnx` makes, with most weights stored in one byte each.

`DequantizeLinear` turns them back into floats, so all arithmetic stays float32. The file of a small
network is to a large part nodes and names. Weights whose channels have the same shape are therefore
stored as one tensor, and all biases and scales as one vector of 16 bit floats.

What is stored in which way follows from the structure alone, never from values, so the size is known
before training.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from atml.errors import ModelError
from atml.export.classifier import OUTPUT, OnnxClassifier
from atml.export.graph import Graph, checked_bytes
from atml.export.slim import shorten_names

_LARGEST = 127  # symmetric: -128 is not used, so no zero point has to be stored
_DEFAULT_AXIS = 1  # of DequantizeLinear

# The axis of the output channels, each of which has a scale, by operator and input. Of a recurrent layer's
# weights [directions, gates, inputs], the scale of a gate serves both directions.
_CHANNEL_AXES: dict[str, dict[int, int]] = {
    "Conv": {1: 0},
    "Gemm": {1: 1},
    "GRU": {1: 1, 2: 1},
    "MatMul": {1: 1},
}
_BIAS = 2  # the input that is the bias
_BIASED = ("Conv", "Gemm")


@dataclass(frozen=True, kw_only=True, eq=False)
class _Block:
    """Weights that are stored as one int8 tensor, one after the other along the first axis."""

    names: tuple[str, ...]
    lengths: tuple[int, ...]  # of the first axis, by weight
    axis: int | None  # of the channels; None: one scale for all values
    codes: NDArray[np.int8]  # weights = codes * scales
    scales: NDArray[np.float32]  # [channels], or [1]


def quantize_weights(model: bytes, samples: ArrayLike | None = None) -> bytes:
    """Return the model with int8 weights, or `model` itself if that is not larger.

    `model` is what `to_onnx` returned. Inputs, outputs and metadata stay the same. The number of bytes
    depends on the structure alone.

    Rounding shifts all logits by about the same amount. Of segments `samples` [n, L], a few hundred that
    the network was trained on, the result keeps the mean logits.

    Raises:
        ModelError: a weight is undefined or beyond the range of 16 bit floats.
    """
    source = onnx.load_from_string(model)
    quantized = _quantized(source)
    if quantized.ByteSize() >= len(model):
        return model
    content = checked_bytes(quantized)
    if samples is None:
        return content
    wanted, found = (OnnxClassifier(one).logits(samples).mean(axis=0) for one in (model, content))
    _add_to_logits(source, wanted - found)
    return checked_bytes(_quantized(source))


def compare_quantized(model: bytes, quantized: bytes, samples: ArrayLike) -> tuple[float, float]:
    """Return the largest difference of two models' logits, and the share of equal decisions.

    `samples` [n, L] are the segments. Each model file decides at the threshold in its own metadata.
    """
    classifiers = [OnnxClassifier(content) for content in (model, quantized)]
    logits = [classifier.logits(samples) for classifier in classifiers]
    decisions = [one.probabilities(samples) >= one.metadata.threshold for one in classifiers]
    difference = float(np.abs(logits[0] - logits[1]).max())
    return difference, float(np.mean(decisions[0] == decisions[1]))


def _quantized(source: ModelProto) -> ModelProto:
    """Return the smallest of all versions of the model with int8 weights."""
    graph = Graph(source)
    # Networks scale their input, so only a failed training leads beyond the range of 16 bit floats.
    if not all(np.all(np.abs(weight) <= np.finfo(np.float16).max) for weight in graph.weights.values()):
        raise ModelError("A weight is undefined or too large for the model to be stored as INT8.")
    blocks = _blocks(graph)
    versions = [_smallest(source, blocks, packed=packed) for packed in (True, False)]
    return min(versions, key=ModelProto.ByteSize)


def _add_to_logits(model: ModelProto, difference: NDArray[np.float32]) -> None:
    """Add to the bias of the last layer, if that is a linear one."""
    (last,) = (node for node in model.graph.node if OUTPUT in node.output)
    for tensor in model.graph.initializer:
        if last.op_type == "Gemm" and tensor.name in last.input[_BIAS:]:
            moved = numpy_helper.to_array(tensor) + difference
            tensor.CopyFrom(numpy_helper.from_array(moved, tensor.name))


def _blocks(graph: Graph) -> list[_Block]:
    """Return all weights but vectors, in blocks.

    Convolutions are joined along their output channels if all other axes are equal. For recurrent and
    linear layers that is rare.
    """
    joined: dict[tuple[int | None, tuple[int, ...] | str], list[str]] = {}
    for node in graph.nodes:
        for slot, name in enumerate(node.input):
            weight = graph.weights.get(name)
            if weight is not None and weight.ndim > 1:
                axis = _CHANNEL_AXES.get(node.op_type, {}).get(slot)
                key = weight.shape[1:] if axis == 0 else name
                joined.setdefault((axis, key), []).append(name)
    return [_block(graph, tuple(names), axis) for (axis, _), names in joined.items()]


def _block(graph: Graph, names: tuple[str, ...], axis: int | None) -> _Block:
    """Round weights to int8."""
    weights = [graph.weights[name] for name in names]
    joined = np.concatenate(weights).astype(np.float32)
    by_channel = joined[None] if axis is None else np.moveaxis(joined, axis, 0)
    rows = by_channel.reshape(len(by_channel), -1)
    scales = _scales(rows)
    codes = _rounded(rows, scales).reshape(by_channel.shape)
    return _Block(
        names=names,
        lengths=tuple(len(weight) for weight in weights),
        axis=axis,
        codes=codes[0] if axis is None else np.moveaxis(codes, 0, axis),
        scales=scales,
    )


def _scales(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the scale of each row of `rows` [channels, values], as the file stores it.

    It is never rounded down, so that the largest value is not clipped.
    """
    exact = np.abs(rows).max(axis=1) / _LARGEST
    scales: NDArray[np.float16] = exact.astype(np.float16)
    too_small = (scales < exact) | (scales == 0)
    scales[too_small] = np.nextafter(scales[too_small], np.float16(np.inf))
    return scales.astype(np.float32)


def _rounded(rows: NDArray[np.float32], scales: NDArray[np.float32]) -> NDArray[np.int8]:
    """Round so that the sum of each row [channels, values] is off by half a step or little more.

    Most inputs of a layer are the outputs of an activation, whose means are not zero. Errors that add up
    would therefore shift the channel. Where they do, the values nearest to halfway go the other way.
    """
    exact = rows / scales[:, None]
    codes = np.rint(exact)
    excess = np.rint((codes - exact).sum(axis=1, keepdims=True))  # in steps
    toward = np.sign(excess)
    order = np.argsort(toward * (exact - codes), axis=1, kind="stable")
    rank = np.argsort(order, axis=1, kind="stable")
    codes -= toward * (rank < np.abs(excess))
    limited: NDArray[np.float32] = np.clip(codes, -_LARGEST, _LARGEST)
    return limited.astype(np.int8)


def _smallest(source: ModelProto, blocks: Sequence[_Block], *, packed: bool) -> ModelProto:
    """Return the smallest model: leave out each block that costs more bytes than it saves."""
    kept = blocks
    smallest = _rewritten(source, kept, packed=packed)
    for block in sorted(blocks, key=lambda block: (block.codes.size, block.names)):
        rest = [other for other in kept if other is not block]
        model = _rewritten(source, rest, packed=packed)
        if model.ByteSize() <= smallest.ByteSize():
            kept, smallest = rest, model
    return smallest


def _rewritten(source: ModelProto, blocks: Sequence[_Block], *, packed: bool) -> ModelProto:
    """Return the model with these blocks as int8, and if `packed`, with biases and scales as one vector."""
    graph = Graph(source)
    vectors = _biases(graph)
    nodes: list[NodeProto] = []
    for block in blocks:
        vectors.append(graph.add_weight(block.scales))
        nodes += _dequantized(graph, block, vectors[-1])
    if packed and vectors:
        nodes = _packed(graph, vectors) + nodes
    graph.nodes[:0] = nodes
    shorten_names(graph)
    model = graph.to_model()
    model.metadata_props.extend(source.metadata_props)
    return model


def _biases(graph: Graph) -> list[str]:
    """Return the names of all vectors that are a bias.

    BatchNormalization's vectors are not among them: it divides by a root of one of them.
    """
    names = (node.input[_BIAS] for node in graph.nodes if node.op_type in _BIASED and len(node.input) > _BIAS)
    return [name for name in names if name in graph.weights and graph.weights[name].ndim == 1]


def _dequantized(graph: Graph, block: _Block, scales: str) -> list[NodeProto]:
    """Store a block's codes and return the nodes that restore its weights."""
    for name in block.names:
        del graph.weights[name]
    stored = graph.add_weight(block.codes)
    if block.codes.ndim == 2 and block.axis == 1:
        # Of DequantizeLinear and a linear layer, ONNX Runtime 1.31 makes an operator that also rounds the
        # layer's inputs to eight bits.
        floats = graph.add_name()
        return [
            helper.make_node("Cast", [stored], [floats], to=TensorProto.FLOAT),
            helper.make_node("Mul", [floats, scales], block.names),
        ]
    axis: dict[str, Any] = {} if block.axis in (None, _DEFAULT_AXIS) else {"axis": block.axis}
    if len(block.names) == 1:
        return [helper.make_node("DequantizeLinear", [stored, scales], block.names, **axis)]
    restored = graph.add_name()
    return [
        helper.make_node("DequantizeLinear", [stored, scales], [restored], **axis),
        _split(graph, restored, block.names, block.lengths),
    ]


def _packed(graph: Graph, names: Sequence[str]) -> list[NodeProto]:
    """Store vectors as one vector of 16 bit floats and return the nodes that restore them."""
    vectors = [graph.weights.pop(name) for name in names]
    stored = graph.add_weight(np.concatenate(vectors).astype(np.float16))
    restored = graph.add_name()
    return [
        helper.make_node("Cast", [stored], [restored], to=TensorProto.FLOAT),
        _split(graph, restored, names, [len(vector) for vector in vectors]),
    ]


def _split(graph: Graph, name: str, parts: Sequence[str], lengths: Sequence[int]) -> NodeProto:
    """Return the node that splits a tensor along its first axis.

    Up to opset 17 equal lengths need not be stored.
    """
    inputs = [name]
    if len(set(lengths)) > 1:
        inputs.append(graph.add_constant(np.array(lengths, dtype=np.int64)))
    return helper.make_node("Split", inputs, parts)
