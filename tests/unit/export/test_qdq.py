"""Full-integer models of real networks, by ONNX Runtime's quantizer."""

import logging

import numpy as np
import onnx
import pytest
import torch

from atml.errors import ModelError
from atml.export import OnnxClassifier, OnnxMetadata, quantize_fully, quantize_weights, to_onnx
from atml.models import ARCHITECTURES
from tests.recordings import sine

LENGTH = 1250
METADATA = OnnxMetadata(sampling_rate_hz=250, classes=("Normal", "AFIB"), threshold=0.5, architecture="x")
RECURRENT = {"conv_gru"}


def segments(count):
    rng = np.random.default_rng(0)
    return (sine(250.0, 5.0) + rng.normal(size=(count, LENGTH))).astype(np.float32)


def model_of(name):
    torch.manual_seed(0)
    architecture = ARCHITECTURES[name]
    network = architecture.build(architecture.default(), LENGTH).eval()
    return to_onnx(network, segment_length=LENGTH, metadata=METADATA)


@pytest.mark.parametrize("name", sorted(set(ARCHITECTURES) - RECURRENT))
def test_every_layer_with_weights_computes_in_integers(name):
    before = model_of(name)
    content = quantize_fully(before, segments(60))
    graph = onnx.load_from_string(content).graph
    restored = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    layers = [node for node in graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    assert layers
    assert all(set(node.input) <= restored for node in layers)
    assert OnnxClassifier(content).metadata == METADATA
    assert OnnxClassifier(content).segment_length == LENGTH
    # An untrained network's logits are all about the same; they move by a small part of their size.
    logits = OnnxClassifier(before).logits(segments(100))
    moved = np.abs(OnnxClassifier(content).logits(segments(100)) - logits).max()
    assert moved < 0.2 * max(1.0, np.abs(logits).max())


def test_the_same_segments_give_the_same_file():
    model = model_of("tiny_cnn")
    assert quantize_fully(model, segments(60)) == quantize_fully(model, segments(60))


def test_a_recurrent_network_is_refused_by_name():
    with pytest.raises(ModelError, match=r"GRU layers cannot be computed in integers.*model\.int8\.onnx"):
        quantize_fully(model_of("conv_gru"), segments(10))


@pytest.mark.parametrize("quantize", [quantize_weights, lambda model: quantize_fully(model, segments(10))])
def test_a_model_with_integer_weights_is_refused(quantize):
    with pytest.raises(ModelError, match="are integers already"):
        quantize_fully(quantize(model_of("simple_cnn")), segments(10))


def test_without_segments_there_are_no_ranges():
    with pytest.raises(ModelError, match="at least one segment"):
        quantize_fully(model_of("tiny_cnn"), segments(0))


def test_logging_is_as_before():
    before = logging.root.manager.disable
    quantize_fully(model_of("tiny_cnn"), segments(10))
    assert logging.root.manager.disable == before
