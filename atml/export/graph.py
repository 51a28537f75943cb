"""A mutable view of an ONNX graph: nodes, weights and constants by name."""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from atml.errors import ModelError

Array = NDArray[np.generic]


class Graph:
    """The parts of a model that slimming rewrites.

    `weights` are changed by training; `constants` (shapes, bounds) follow from the structure.
    """

    def __init__(self, model: ModelProto) -> None:
        """Read the parts of `model`, which is not changed."""
        graph = model.graph
        self._model = model
        self.inputs = [value.name for value in graph.input]
        self.outputs = [value.name for value in graph.output]
        self.nodes: list[NodeProto] = []
        self.weights: dict[str, Array] = {}
        self.constants: dict[str, Array] = {}
        self._added = 0
        for tensor in graph.initializer:
            value = numpy_helper.to_array(tensor)
            # Integers come from the structure; no layer learns them.
            kind = self.weights if np.issubdtype(value.dtype, np.floating) else self.constants
            kind[tensor.name] = value
        for source in graph.node:
            if source.op_type == "Constant" and source.attribute[0].name == "value":
                self.constants[source.output[0]] = numpy_helper.to_array(source.attribute[0].t)
            else:
                self.nodes.append(_stripped(source))

    def replace(self, name: str, by: str) -> None:
        """Replace the tensor `name` by the tensor `by` in all node inputs."""
        for node in self.nodes:
            for slot, read in enumerate(node.input):
                if read == name:
                    node.input[slot] = by

    def add_weight(self, value: Array) -> str:
        """Store a weight and return its new name."""
        name = self.add_name()
        self.weights[name] = value
        return name

    def add_constant(self, value: Array) -> str:
        """Store a constant and return its new name."""
        name = self.add_name()
        self.constants[name] = value
        return name

    def add_name(self) -> str:
        """Return a name that no tensor has."""
        self._added += 1
        return f"added.{self._added}"

    def drop_unused(self) -> None:
        """Drop every node, weight and constant that no output depends on."""
        needed = set(self.outputs)
        kept = []
        for node in reversed(self.nodes):
            if needed.intersection(node.output):
                kept.append(node)
                needed.update(node.input)
        self.nodes = kept[::-1]
        self.weights = {name: value for name, value in self.weights.items() if name in needed}
        self.constants = {name: value for name, value in self.constants.items() if name in needed}

    def to_model(self) -> ModelProto:
        """Return an ONNX model of these parts."""
        source = self._model
        tensors = {**self.weights, **self.constants}
        graph = helper.make_graph(
            self.nodes,
            "ecm",
            list(source.graph.input),
            list(source.graph.output),
            [_tensor(name, value) for name, value in tensors.items()],
        )
        return helper.make_model(
            graph,
            producer_name="atml",
            ir_version=source.ir_version,
            opset_imports=list(source.opset_import),
        )


def with_batch(model: ModelProto, size: int) -> ModelProto:
    """Return the model for batches of one size, with the shapes of its tensors."""
    fixed = ModelProto()
    fixed.CopyFrom(model)
    for value in (*fixed.graph.input, *fixed.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = size
    del fixed.graph.value_info[:]
    return onnx.shape_inference.infer_shapes(fixed, data_prop=True)


def tensor_shapes(model: ModelProto) -> dict[str, list[int]]:
    """Return the shape of each tensor of what `with_batch` returned; an unknown size is 0."""
    graph = model.graph
    values = (*graph.input, *graph.value_info, *graph.output)
    found = {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in values}
    return found | {tensor.name: list(tensor.dims) for tensor in graph.initializer}


def checked_bytes(model: ModelProto) -> bytes:
    """Return the content of a model's file; raise ModelError if it is not valid ONNX."""
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelError(f"The exported model is not valid ONNX: {error}") from error
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _stripped(source: NodeProto) -> NodeProto:
    return NodeProto(
        op_type=source.op_type,
        domain=source.domain or None,  # an empty one means the same as none, but takes two bytes
        input=source.input,
        output=source.output,
        attribute=source.attribute,
    )


def _tensor(name: str, value: Array) -> TensorProto:
    tensor = numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name)
    if value.dtype != np.int64:
        return tensor
    # As a field of its own a small integer takes one byte, not eight, but a negative one takes ten.
    compact = helper.make_tensor(name, TensorProto.INT64, value.shape, value.ravel())
    return min(compact, tensor, key=TensorProto.ByteSize)
