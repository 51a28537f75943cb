import copy
import re
import warnings
from collections import Counter

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from atml import export
from atml.errors import ModelError, ParityError
from atml.export import OnnxClassifier, OnnxMetadata, check_parity, quantize_weights, to_onnx
from atml.models import ARCHITECTURES, Architecture
from atml.models.afnet import AFNET
from atml.models.conv_gru import CONV_GRU, ConvGRUConfig
from atml.models.custom_model import CUSTOM_MODEL

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


def as_if_trained(model: nn.Module) -> nn.Module:
    """Give every weight and every BatchNorm statistic a value of its own."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_()
            elif name.endswith("running_var"):
                buffer.uniform_(0.3, 3)
    return model


def built(architecture: Architecture, length: int = LENGTH) -> nn.Module:
    return architecture.build(architecture.default(), length)


def segments(count: int, length: int = LENGTH) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(count, length)).astype(np.float32)


class Doubled(nn.Module):
    """Its logits are twice the wrapped model's."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ecg: Tensor) -> Tensor:
        return 2 * self.model(ecg)


class Pooled(nn.Module):
    """The mean and the maximum over an axis, joined."""

    def __init__(self, axis: int, keepdim: bool) -> None:
        super().__init__()
        self.axis, self.keepdim = axis, keepdim

    def forward(self, x: Tensor) -> Tensor:
        parts = [x.mean(self.axis, keepdim=self.keepdim), x.amax(self.axis, keepdim=self.keepdim)]
        joined = torch.cat(parts, dim=1)
        return joined.flatten(1) if self.keepdim else joined


class Centred(nn.Conv1d):
    """A convolution that does not use its weights as they are."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.conv1d(x, self.weight - self.weight.mean(), self.bias, self.stride)


class Listed(nn.Module):
    """Refers to its layers by a list of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv1d(1, 4, 25, 25), nn.Linear(200, 2)
        self.layers = [self.first, nn.Flatten(), self.last]

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class Attention(nn.Module):
    """Attention between the pieces of a segment."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.attention = nn.Conv1d(1, 4, 25, 25), nn.MultiheadAttention(4, 2, batch_first=True)
        self.last = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        pieces = self.stem(x).transpose(1, 2)
        return self.last(self.attention(pieces, pieces, pieces)[0].mean(1))


def pooled(*layers: nn.Module) -> nn.Module:
    """Layers with four channels at the end, then two logits."""
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 2))


def with_shared_activation() -> nn.Module:
    activation = nn.ReLU()
    return pooled(
        nn.Conv1d(1, 4, 9, 9), activation, nn.Conv1d(4, 4, 9), activation, nn.BatchNorm1d(4), nn.ReLU()
    )


def with_weight_norm() -> nn.Module:
    return pooled(nn.utils.parametrizations.weight_norm(nn.Conv1d(1, 4, 9, 9)), nn.BatchNorm1d(4), nn.ReLU())


def constant(logit: float, plus: float = 0.0) -> nn.Module:
    """A network whose logits are 0 and `logit`, the latter off by `plus`, whatever the segment."""
    layer = nn.Linear(LENGTH, 2)
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.copy_(torch.tensor([0.0, logit + plus]))
    return nn.Sequential(nn.Flatten(), layer)


class TestToOnnx:
    @every_architecture
    @pytest.mark.parametrize("count", [1, 7])
    def test_computes_what_pytorch_computes(self, architecture: Architecture, count: int):
        model = as_if_trained(built(architecture))
        assert check_parity(model, to_onnx(model, segment_length=LENGTH), segments(count)) <= 1e-4

    @every_architecture
    def test_size_is_the_same_before_and_after_training(self, architecture: Architecture):
        model = built(architecture)
        untrained = to_onnx(model, segment_length=LENGTH, metadata=METADATA)
        trained = to_onnx(as_if_trained(model), segment_length=LENGTH, metadata=METADATA)
        assert trained != untrained
        assert len(trained) == len(untrained)

    @every_architecture
    def test_size_is_little_more_than_the_weights(self, architecture: Architecture):
        model = built(architecture)
        weights = 4 * sum(p.numel() for p in model.parameters())
        onnx_bytes = len(to_onnx(model, segment_length=LENGTH))
        assert onnx_bytes <= weights + 2000
        assert onnx_bytes <= 170_000

    @every_architecture
    def test_keeps_the_contract(self, architecture: Architecture):
        content = to_onnx(built(architecture), segment_length=LENGTH)
        model = onnx.load_from_string(content)
        onnx.checker.check_model(model, full_check=True)
        (ecg,), (logits,) = model.graph.input, model.graph.output
        assert (ecg.name, logits.name) == ("ecg", "logits")
        shape = ecg.type.tensor_type.shape.dim
        assert (shape[0].dim_param, shape[1].dim_value, shape[2].dim_value) == ("batch", 1, LENGTH)
        assert logits.type.tensor_type.shape.dim[1].dim_value == 2
        assert [opset.version for opset in model.opset_import] == [17]

    @every_architecture
    def test_nothing_computes_shapes_or_does_nothing(self, architecture: Architecture):
        model = onnx.load_from_string(to_onnx(built(architecture), segment_length=LENGTH))
        kinds = {node.op_type for node in model.graph.node}
        assert not kinds & {"Shape", "Identity", "Constant", "ConstantOfShape", "Expand", "Dropout"}

    @every_architecture
    def test_an_empty_field_takes_no_bytes(self, architecture: Architecture):
        fp32 = to_onnx(built(architecture), segment_length=LENGTH, metadata=METADATA)
        for content in (fp32, quantize_weights(fp32)):
            model = onnx.load_from_string(content)
            for message in (model, *model.opset_import, *model.graph.node):
                assert "" not in [value for _, value in message.ListFields()]

    def test_small_models_meet_their_byte_targets(self):
        small = CONV_GRU.build(ConvGRUConfig(channels=6, hidden=8), LENGTH)
        assert len(to_onnx(small, segment_length=LENGTH, metadata=METADATA)) <= 11_000
        afnet = to_onnx(built(AFNET), segment_length=LENGTH, metadata=METADATA)
        assert len(afnet) <= 84_000

    def test_batch_norm_after_an_activation_folds_into_the_next_convolution(self):
        model = onnx.load_from_string(to_onnx(built(AFNET), segment_length=LENGTH))
        left = [node for node in model.graph.node if node.op_type == "BatchNormalization"]
        # Of five, the two whose output squeeze-excite also reads must stay.
        assert len(left) == 2

    def test_means_and_deviations_over_time_are_pools_without_attributes(self):
        # Two branches, each with a mean and a standard deviation, which takes two means.
        nodes = onnx.load_from_string(to_onnx(built(CUSTOM_MODEL), segment_length=LENGTH)).graph.node
        kinds = Counter(node.op_type for node in nodes if "Pool" in node.op_type or "Reduce" in node.op_type)
        assert kinds == {"GlobalAveragePool": 4}

    @pytest.mark.parametrize("keepdim", [True, False])
    def test_pools_over_time_have_no_attributes_and_are_flattened_together(self, keepdim: bool):
        model = nn.Sequential(nn.Conv1d(1, 6, 5, 10), Pooled(2, keepdim), nn.Linear(12, 2))
        nodes = onnx.load_from_string(to_onnx(model, segment_length=LENGTH)).graph.node
        kinds = [node.op_type for node in nodes if "Pool" in node.op_type or "Reduce" in node.op_type]
        assert kinds == ["GlobalAveragePool", "GlobalMaxPool"]
        assert [node.op_type for node in nodes].count("Flatten") == 1

    @pytest.mark.parametrize("keepdim", [True, False])
    @pytest.mark.parametrize("axis", [1, 2, -1])
    def test_any_mean_and_maximum_is_exported_right(self, axis: int, keepdim: bool):
        features = 2 * (125 if axis == 1 else 6)
        model = nn.Sequential(nn.Conv1d(1, 6, 5, 10), Pooled(axis, keepdim), nn.Linear(features, 2))
        assert check_parity(model, to_onnx(model, segment_length=LENGTH), segments(3)) <= 1e-4

    @every_architecture
    def test_linear_layers_need_no_attribute(self, architecture: Architecture):
        nodes = onnx.load_from_string(to_onnx(built(architecture), segment_length=LENGTH)).graph.node
        assert all(not node.attribute for node in nodes if node.op_type == "Gemm")

    def test_a_small_shape_takes_a_byte_a_number(self):
        model = onnx.load_from_string(to_onnx(built(CONV_GRU), segment_length=LENGTH))
        (shape,) = [t for t in model.graph.initializer if t.data_type == onnx.TensorProto.INT64]
        assert not shape.raw_data
        assert len(shape.int64_data) == 3

    def test_is_deterministic(self):
        model = built(CONV_GRU)
        first, second = (to_onnx(model, segment_length=LENGTH) for _ in range(2))
        assert first == second

    def test_other_lengths(self):
        model = as_if_trained(built(AFNET, 1000))
        content = to_onnx(model, segment_length=1000)
        assert check_parity(model, content, segments(3, 1000)) <= 1e-4

    def test_leaves_the_model_and_the_random_state_alone(self):
        model = built(AFNET).train()
        model.get_submodule("1.classifier").eval()
        modes = [part.training for part in model.modules()]
        weights = copy.deepcopy(model.state_dict())
        random_state = torch.get_rng_state()
        to_onnx(model, segment_length=LENGTH)
        assert [part.training for part in model.modules()] == modes
        assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())
        assert torch.equal(torch.get_rng_state(), random_state)

    def test_warns_of_nothing(self):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            to_onnx(built(CONV_GRU), segment_length=LENGTH)
        assert caught == []

    def test_weights_that_two_layers_share_are_exported_right(self):
        layer = nn.Linear(LENGTH, LENGTH, bias=False)
        model = nn.Sequential(nn.Flatten(), layer, nn.ReLU(), layer, nn.Linear(LENGTH, 2))
        assert check_parity(model, to_onnx(model, segment_length=LENGTH), segments(2)) <= 1e-4

    def test_batch_norm_before_a_padded_convolution_stays(self):
        model = as_if_trained(
            nn.Sequential(
                nn.BatchNorm1d(1), nn.Conv1d(1, 2, 5, 625, padding=2), nn.Flatten(), nn.Linear(4, 2)
            )
        )
        assert check_parity(model, to_onnx(model, segment_length=LENGTH), segments(2)) <= 1e-4

    def test_batch_norm_before_a_convolution_without_bias_folds(self):
        model = as_if_trained(
            nn.Sequential(
                nn.BatchNorm1d(1), nn.Conv1d(1, 2, 625, 625, bias=False), nn.Flatten(), nn.Linear(4, 2)
            )
        )
        content = to_onnx(model, segment_length=LENGTH)
        assert check_parity(model, content, segments(2)) <= 1e-4
        kinds = [node.op_type for node in onnx.load_from_string(content).graph.node]
        assert "BatchNormalization" not in kinds

    @pytest.mark.parametrize(
        "layers",
        [
            lambda: (nn.Conv1d(1, 4, 9, 9), nn.ReLU(), nn.BatchNorm1d(4, affine=False), nn.Conv1d(4, 4, 9)),
            lambda: (
                nn.Unflatten(1, (1, 1)),
                *(nn.Conv2d(1, 4, (1, 9), (1, 9)), nn.ReLU(), nn.BatchNorm2d(4), nn.Conv2d(4, 4, (1, 9))),
                nn.Flatten(2),
            ),
        ],
        ids=["without weights", "two axes"],
    )
    def test_batch_norm_of_other_kinds_before_a_convolution_is_exported_right(self, layers):
        model = as_if_trained(pooled(*layers()))
        assert check_parity(model, to_onnx(model, segment_length=LENGTH), segments(3)) <= 1e-4

    @pytest.mark.parametrize(
        "build",
        [
            with_shared_activation,
            with_weight_norm,
            lambda: pooled(Centred(1, 4, 9, 9), nn.BatchNorm1d(4), nn.ReLU()),
            Listed,
            Attention,
        ],
        ids=["an activation used twice", "weight norm", "own convolution", "list of layers", "attention"],
    )
    def test_what_a_plug_in_may_be_made_of_is_exported_right(self, build):
        model = as_if_trained(build().train())
        assert check_parity(model, to_onnx(model, segment_length=LENGTH), segments(3)) <= 1e-4

    def test_attention_is_as_fast_after_an_export_as_before(self):
        to_onnx(Attention(), segment_length=LENGTH)
        assert torch.backends.mha.get_fastpath_enabled()

    def test_all_is_complete(self):
        assert set(export.__all__) == {
            "OnnxClassifier",
            "OnnxMetadata",
            "check_parity",
            "compare_quantized",
            "quantize_fully",
            "quantize_weights",
            "to_onnx",
        }


class TestParity:
    def test_measures_over_more_than_one_batch(self):
        model = built(CONV_GRU)
        content = to_onnx(model, segment_length=LENGTH)
        assert 0 < check_parity(model, content, segments(300)) <= 1e-4

    def test_another_model_is_no_match(self):
        model = as_if_trained(built(CONV_GRU))
        content = to_onnx(Doubled(model), segment_length=LENGTH)
        with pytest.raises(ParityError, match=r"differ from PyTorch's by .* more than the .* allowed"):
            check_parity(model, content, segments(2))

    def test_not_a_number_is_no_match(self):
        model = built(CONV_GRU)
        content = to_onnx(model, segment_length=LENGTH)
        with torch.no_grad():
            next(model.parameters()).fill_(torch.nan)
        with pytest.raises(ParityError):
            check_parity(model, content, segments(2))

    @every_architecture
    def test_large_logits_may_differ_by_more(self, architecture: Architecture):
        model = as_if_trained(built(architecture))
        microvolts = 1000 * segments(8)
        content = to_onnx(model, segment_length=LENGTH)
        check_parity(model, content, microvolts)  # raises nothing

    @pytest.mark.parametrize(("scale", "allowed"), [(1.0, 1e-4), (0.01, 1e-4), (1000.0, 0.1)])
    @pytest.mark.parametrize(("share", "passes"), [(0.9, True), (1.1, False)])
    def test_the_limit_is_relative_to_the_largest_logit_but_never_below_the_tolerance(
        self, scale: float, allowed: float, share: float, passes: bool
    ):
        model, other = constant(scale), constant(scale, plus=share * allowed)
        content = to_onnx(other, segment_length=LENGTH)
        if passes:
            assert check_parity(model, content, segments(3)) == pytest.approx(share * allowed, rel=0.01)
        else:
            with pytest.raises(ParityError, match=re.escape(f"for logits of up to {scale:.2g}")):
                check_parity(model, content, segments(3))

    def test_an_infinite_logit_is_no_match(self):
        content = to_onnx(constant(1.0), segment_length=LENGTH)
        with pytest.raises(ParityError):
            check_parity(constant(float("inf")), content, segments(2))
        with pytest.raises(ParityError):
            check_parity(
                constant(float("inf")), to_onnx(constant(float("inf")), segment_length=LENGTH), segments(2)
            )

    def test_keeps_the_training_mode(self):
        model = built(CONV_GRU).train()
        check_parity(model, to_onnx(model, segment_length=LENGTH), segments(1))
        assert model.training

    def test_needs_segments(self):
        model = built(CONV_GRU)
        with pytest.raises(ModelError, match="at least one segment"):
            check_parity(model, to_onnx(model, segment_length=LENGTH), segments(0))


class TestMetadata:
    def test_round_trip(self):
        content = to_onnx(built(CONV_GRU), segment_length=LENGTH, metadata=METADATA)
        assert OnnxClassifier(content).metadata == METADATA

    @pytest.mark.parametrize("threshold", [0, 0.5, 0.123456, 0.99999, 1])
    def test_size_does_not_depend_on_the_threshold(self, threshold: float):
        other = OnnxMetadata(**{**vars(METADATA), "threshold": threshold})
        lengths = [len("".join(m.to_properties().values())) for m in (METADATA, other)]
        assert lengths[0] == lengths[1]

    def test_a_file_names_no_study_and_no_trial_whose_length_would_be_bytes_of_the_model(self):
        assert set(METADATA.to_properties()) == {"sampling_rate_hz", "classes", "threshold", "architecture"}

    @pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
    def test_impossible_threshold_is_refused(self, threshold: float):
        with pytest.raises(ModelError, match="threshold must lie within 0 and 1"):
            OnnxMetadata(**{**vars(METADATA), "threshold": threshold})

    @pytest.mark.parametrize("name", ["", "a,b", "a */ int x; /*", "a\n"])
    @pytest.mark.parametrize("field", ["architecture", "classes"])
    def test_names_that_would_end_a_comment_of_c_code_are_refused(self, field: str, name: str):
        value = name if field == "architecture" else (name, "AFIB")
        with pytest.raises(ModelError, match=f"{field}: names may have letters, digits"):
            OnnxMetadata(**{**vars(METADATA), field: value})
