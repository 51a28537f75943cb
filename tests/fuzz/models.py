"""Seeded changes of ONNX files that leave them readable."""

from random import Random

import numpy as np
import onnx
from onnx import ModelProto, numpy_helper

from tests.fuzz.mutation import evil


def changed_model(random: Random, content: bytes) -> bytes:
    """Return a model with one change."""
    model = onnx.load_from_string(content)
    random.choice(_CHANGES)(random, model)
    return model.SerializeToString()


def _without_a_node(random: Random, model: ModelProto) -> None:
    del model.graph.node[random.randrange(len(model.graph.node))]


def _another_operator(random: Random, model: ModelProto) -> None:
    names = ("Relu", "Softmax", "Reshape", "Loop", "Nothing", "Expand", "ConstantOfShape")
    random.choice(model.graph.node).op_type = random.choice(names)


def _odd_weight(random: Random, model: ModelProto) -> None:
    one = random.choice(model.graph.initializer)
    values = numpy_helper.to_array(one).copy()
    if values.dtype == np.float32 and values.size:
        values.flat[random.randrange(values.size)] = random.choice((np.nan, np.inf, 1e38, -1e38))
        one.CopyFrom(numpy_helper.from_array(values, one.name))


def _other_dimensions(random: Random, model: ModelProto) -> None:
    one = random.choice(model.graph.initializer)
    if one.dims:
        one.dims[0] = random.choice((0, 1, 7, 10**6, 10**12, -1))


def _other_attribute(random: Random, model: ModelProto) -> None:
    attributes = [one for node in model.graph.node for one in node.attribute]
    if attributes:
        one = random.choice(attributes)
        one.i = random.choice((0, -1, 10**9))
        if one.ints:
            one.ints[0] = random.choice((0, -1, 10**9, 2**62))


def _other_metadata(random: Random, model: ModelProto) -> None:
    values = ("AFIB,N", "N", "A,B,AFIB", "N,N", "0", "500", "nan", "2", "", evil(random)[:1000])
    value = random.choice(values).encode("utf-8", "replace").decode()
    random.choice(model.metadata_props).value = value


def _other_contract(random: Random, model: ModelProto) -> None:
    tensor = random.choice((model.graph.input[0], model.graph.output[0])).type.tensor_type
    random.choice(tensor.shape.dim).dim_value = random.choice((0, 1, 3, 251, 10**9))


def _other_version(random: Random, model: ModelProto) -> None:
    model.opset_import[0].version = random.choice((0, 1, 9999))


def _huge_tensor(random: Random, model: ModelProto) -> None:
    """Add zeros to the logits, of a tensor that is only made when the model runs."""
    graph, last = model.graph, model.graph.output[0].name
    for node in graph.node:
        node.output[:] = ["before" if name == last else name for name in node.output]
    count = random.choice((10**6, 10**10, 2**40))
    graph.initializer.append(numpy_helper.from_array(np.array([count]), "huge"))
    graph.node.append(onnx.helper.make_node("ConstantOfShape", ["huge"], ["zeros"]))
    graph.node.append(onnx.helper.make_node("ReduceSum", ["zeros"], ["zero"], keepdims=0))
    graph.node.append(onnx.helper.make_node("Add", ["before", "zero"], [last]))


_CHANGES = (
    _without_a_node,
    _another_operator,
    _odd_weight,
    _other_dimensions,
    _other_attribute,
    _other_metadata,
    _other_contract,
    _other_version,
    _huge_tensor,
)
