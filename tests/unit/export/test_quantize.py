from functools import cache

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from atml.errors import ModelError
from atml.export import OnnxClassifier, OnnxMetadata, compare_quantized, quantize_weights, to_onnx
from atml.models import ARCHITECTURES, Architecture, Config
from atml.models.afnet import AFNET
from atml.models.conv_gru import CONV_GRU
from atml.models.dscnn import DSCNN
from atml.models.linear import LINEAR
from atml.models.simple_resnet import SIMPLE_RESNET, SimpleResNetConfig

LENGTH = 1250
METADATA = OnnxMetadata(
    sampling_rate_hz=250,
    classes=("other", "AFIB"),
    threshold=0.4217,
    architecture="conv_gru",
)

every_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES.keys())


@pytest.fixture(autouse=True)
def _one_thread_one_seed():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def small(architecture: Architecture) -> Config:
    return architecture.default().model_copy(update=architecture.minimum_widths)


def as_if_trained(model: nn.Module) -> nn.Module:
    """Give every weight a value of its own, and every BatchNorm the statistics of its inputs."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for part in model.modules():
            if isinstance(part, nn.BatchNorm1d):
                part.momentum = 1.0
        model.train()(torch.from_numpy(segments(8)[:, None]))
    return model


def exported(model: nn.Module) -> bytes:
    return to_onnx(model, segment_length=LENGTH, metadata=METADATA)


@cache
def trained(architecture: Architecture, config: Config | None = None) -> bytes:
    torch.manual_seed(0)
    return exported(as_if_trained(architecture.build(config or architecture.default(), LENGTH)))


def segments(count: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(count, LENGTH)).astype(np.float32)


def stored(content: bytes) -> dict[str, np.ndarray]:
    return {t.name: numpy_helper.to_array(t) for t in onnx.load_from_string(content).graph.initializer}


def linear(weights: np.ndarray, bias: tuple[float, float] | None = (0.0, 0.0)) -> nn.Module:
    """Logits = `weights` [2, LENGTH] times the segment, plus `bias`."""
    layer = nn.Linear(LENGTH, 2, bias=bias is not None)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weights))
        if bias is not None:
            layer.bias.copy_(torch.tensor(bias))
    return nn.Sequential(nn.Flatten(), layer)


def restored(content: bytes) -> np.ndarray:
    """Return the weights [2, LENGTH] of a linear model, read from its logits."""
    return OnnxClassifier(content).logits(np.eye(LENGTH, dtype=np.float32)).T


class TestQuantizeWeights:
    @every_architecture
    @pytest.mark.parametrize("width", ["minimum", "default"])
    def test_is_a_smaller_model_with_nearly_the_same_logits(self, architecture: Architecture, width: str):
        model = trained(architecture, small(architecture) if width == "minimum" else None)
        quantized = quantize_weights(model)
        assert len(quantized) < len(model)
        onnx.checker.check_model(onnx.load_from_string(quantized), full_check=True)
        assert OnnxClassifier(quantized).metadata == METADATA
        samples = segments(16)
        largest = np.abs(OnnxClassifier(model).logits(samples)).max()
        assert compare_quantized(model, quantized, samples)[0] <= 0.1 * max(1, largest)

    @every_architecture
    def test_size_is_the_same_before_and_after_training(self, architecture: Architecture):
        untrained = quantize_weights(exported(architecture.build(architecture.default(), LENGTH)))
        after = quantize_weights(trained(architecture))
        assert after != untrained
        assert len(after) == len(untrained)

    @pytest.mark.parametrize("value", [0.0, 1.0, -1e-12])
    def test_size_does_not_depend_on_the_values(self, value: float):
        model = SIMPLE_RESNET.build(SimpleResNetConfig(channels=3), LENGTH)
        size = len(quantize_weights(exported(model)))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(value)
        quantized = quantize_weights(exported(model))
        assert len(quantized) == size
        assert np.isfinite(OnnxClassifier(quantized).logits(segments(1))).all()

    @pytest.mark.parametrize("unit", [1e-3, 1.0, 1e3])
    def test_weights_may_be_large_or_small(self, unit: float):
        weights = unit * np.random.default_rng(0).normal(size=(2, LENGTH)).astype(np.float32)
        found = restored(quantize_weights(exported(linear(weights, (0.0, unit)))))
        assert np.abs(found - weights - [[0], [unit]]).max() <= 0.02 * unit

    def test_the_largest_of_tiny_weights_is_not_clipped(self):
        weights = np.zeros((2, LENGTH), np.float32)
        weights[:, 0] = [1.7e-5, 1.0]  # 127 steps of 1.34e-7, between two 16 bit floats
        assert restored(quantize_weights(exported(linear(weights))))[0, 0] == pytest.approx(1.7e-5, rel=0.01)

    def test_the_largest_of_large_weights_is_not_clipped(self):
        weights = np.zeros((2, LENGTH), np.float32)
        weights[:, 0] = [254.1, 1.0]  # 127 steps of 2.0008, whose nearest 16 bit float is 2
        assert restored(quantize_weights(exported(linear(weights))))[0, 0] >= 254.1

    @every_architecture
    def test_onnx_runtimes_optimisations_do_not_change_the_results(self, architecture: Architecture):
        quantized = quantize_weights(trained(architecture, small(architecture)))
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        plain = onnxruntime.InferenceSession(quantized, options, providers=["CPUExecutionProvider"])
        (expected,) = plain.run(["logits"], {"ecg": segments(8)[:, None]})
        np.testing.assert_allclose(OnnxClassifier(quantized).logits(segments(8)), expected, atol=1e-4)

    def test_every_weight_of_a_recurrent_layer_takes_one_byte(self):
        (gru,) = [n for n in onnx.load_from_string(trained(CONV_GRU)).graph.node if n.op_type == "GRU"]
        assert len(gru.input) == 4  # input, weights, recurrent weights, biases
        proto = onnx.load_from_string(quantize_weights(trained(CONV_GRU)))
        (gru,) = [n for n in proto.graph.node if n.op_type == "GRU"]
        made_by = {name: node.op_type for node in proto.graph.node for name in node.output}
        assert [made_by[name] for name in gru.input[1:]] == ["DequantizeLinear"] * 3

    def test_weights_with_channels_of_one_shape_are_one_tensor(self):
        content = quantize_weights(trained(DSCNN))
        shapes = [value.shape for value in stored(content).values() if value.dtype == np.int8]
        # The stem; four depthwise kernels; the pointwise ones with 16 and with 32 inputs; the classifier.
        assert sorted(shapes) == sorted([(16, 1, 21), (112, 1, 9), (32, 16, 1), (96, 32, 1), (64, 2)])

    @pytest.mark.parametrize("bias", [(0.0, 0.0), None])
    def test_a_weight_is_off_by_about_half_a_step_of_its_channel(self, bias: tuple[float, float] | None):
        weights = np.random.default_rng(0).normal(size=(2, LENGTH)).astype(np.float32)
        weights[1] *= 1000
        found = restored(quantize_weights(exported(linear(weights, bias))))
        step = np.abs(weights).max(axis=1, keepdims=True) / 127
        assert np.all(np.abs(found - weights) <= 0.6 * step)

    def test_the_weights_of_a_channel_keep_their_sum(self):
        weights = np.random.default_rng(0).uniform(0.2, 1.0, size=(2, LENGTH)).astype(np.float32)
        found = restored(quantize_weights(exported(linear(weights))))
        assert np.all(np.abs((found - weights).sum(axis=1)) <= 0.6 / 127)

    @pytest.mark.parametrize("architecture", [AFNET, CONV_GRU, DSCNN, LINEAR], ids=lambda one: one.name)
    def test_the_mean_logits_of_given_segments_are_kept(self, architecture: Architecture):
        model, samples = trained(architecture, small(architecture)), segments(16)
        shifted, kept = quantize_weights(model), quantize_weights(model, samples)
        assert len(kept) == len(shifted)
        expected = OnnxClassifier(model).logits(samples).mean(axis=0)
        found = OnnxClassifier(kept).logits(samples).mean(axis=0)
        np.testing.assert_allclose(found, expected, atol=0.002)

    def test_a_network_of_few_weights_is_returned_as_it_is(self):
        tiny = nn.Sequential(nn.Conv1d(1, 2, 3, stride=625), nn.Flatten(), nn.Linear(4, 2))
        model = exported(tiny)
        assert quantize_weights(model) == model

    def test_a_tensor_whose_node_would_cost_more_than_it_saves_stays_as_it_is(self):
        network = nn.Sequential(
            nn.Conv1d(1, 4, 5, stride=100), nn.ReLU(), nn.Conv1d(4, 1, 1), nn.Flatten(), nn.Linear(13, 200),
            nn.ReLU(), nn.Linear(200, 2),
        )  # fmt: skip
        kinds = {value.size: value.dtype for value in stored(quantize_weights(exported(network))).values()}
        assert kinds[2600] == np.int8
        assert kinds[4] == np.float32

    def test_is_deterministic(self):
        model = trained(CONV_GRU)
        assert quantize_weights(model) == quantize_weights(model)

    def test_stays_as_it_is_if_done_twice(self):
        once = quantize_weights(trained(CONV_GRU))
        assert quantize_weights(once) == once

    @pytest.mark.parametrize("value", [float("nan"), float("-inf"), 70_000.0])
    def test_weights_and_biases_that_cannot_be_stored_are_refused(self, value: float):
        weights = np.zeros((2, LENGTH), np.float32)
        with pytest.raises(ModelError, match="undefined or too large"):
            quantize_weights(exported(linear(weights, (0.0, value))))
        weights[1, 7] = value
        with pytest.raises(ModelError, match="undefined or too large"):
            quantize_weights(exported(linear(weights)))

    def test_needs_no_metadata(self):
        model = to_onnx(CONV_GRU.build(CONV_GRU.default(), LENGTH), segment_length=LENGTH)
        assert len(onnx.load_from_string(quantize_weights(model)).metadata_props) == 0


class TestCompareQuantized:
    def test_a_model_agrees_with_itself(self):
        model = trained(CONV_GRU)
        assert compare_quantized(model, model, segments(3)) == (0.0, 1.0)

    def test_counts_decisions_at_the_threshold(self):
        first_sample = np.zeros((2, LENGTH), np.float32)
        first_sample[1, 0] = 1.0
        model, higher = (exported(linear(first_sample, bias)) for bias in ((0.0, 0.0), (0.0, 0.5)))
        samples = np.zeros((4, LENGTH), np.float32)
        samples[:, 0] = [-2.0, -0.5, 0.0, 2.0]  # the threshold is at a logit of -0.315
        assert compare_quantized(model, higher, samples) == (pytest.approx(0.5), 0.75)
