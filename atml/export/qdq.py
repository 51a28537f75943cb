"""Full-integer models: 8 bit weights and activations, for accelerators and runtimes that compute in integers.

ONNX Runtime's static quantizer places `QuantizeLinear` and `DequantizeLinear` around every layer (QDQ). The
scaling of the segment, before the first convolution, stays in float32.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import onnx
from numpy.typing import ArrayLike

from atml.errors import ModelError
from atml.export.classifier import INPUT
from atml.export.graph import Graph, checked_bytes
from atml.export.slim import shorten_names
from atml.files import temporary_folder

CALIBRATION_SEGMENTS = 300
_BATCH = 50
_RECURRENT = ("GRU", "LSTM", "RNN")
# What integer kernels exist for. Sigmoid, softmax and normalisation stay in float32.
_QUANTIZED = ("Add", "AveragePool", "Conv", "Gemm", "GlobalAveragePool", "MatMul", "MaxPool", "Relu")


def quantize_fully(model: bytes, samples: ArrayLike) -> bytes:
    """Return the model with int8 weights and activations.

    `model` is what `to_onnx` returned. Inputs, outputs and metadata stay the same. The ranges of the
    activations are those over the segments `samples` [n, L], a few hundred that the network was trained on.

    Raises:
        ModelError: the network is recurrent, which ONNX Runtime does not quantize, its weights are integers
            already, or there is no segment.
    """
    # Late: these imports take a second, and only this needs them.
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    source = onnx.load_from_string(model)
    recurrent = sorted({node.op_type for node in source.graph.node} & set(_RECURRENT))
    if recurrent:
        raise ModelError(
            f"{', '.join(recurrent)} layers cannot be computed in integers; choose a convolutional network, "
            "or use model.int8.onnx, whose weights alone are integers."
        )
    if any(one.data_type == onnx.TensorProto.INT8 for one in source.graph.initializer):
        raise ModelError("The weights of this model are integers already; give the file it was made of.")
    segments = np.asarray(samples, dtype=np.float32)
    if len(segments) == 0:
        raise ModelError("Quantizing activations needs at least one segment but got none.")
    for number, node in enumerate(source.graph.node):
        node.name = f"node{number}"  # the quantizer tells nodes apart by their names
    parts = ({INPUT: segments[at : at + _BATCH, None]} for at in range(0, len(segments), _BATCH))
    with temporary_folder() as folder, _no_advice():
        before, after = folder / "fp32.onnx", folder / "qdq.onnx"
        onnx.save(source, before)
        quantize_static(
            before,
            after,
            SimpleNamespace(get_next=lambda: next(parts, None)),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=list(_QUANTIZED),
        )
        quantized = onnx.load(after)
    graph = Graph(quantized)
    shorten_names(graph)
    small = graph.to_model()
    small.metadata_props.extend(source.metadata_props)
    return checked_bytes(small)


@contextmanager
def _no_advice() -> Iterator[None]:
    """Silence the quantizer's advice to preprocess the model, which `to_onnx` has done."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
