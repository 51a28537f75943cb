import copy

import pytest
import torch
from torch import Tensor, nn

from atml.export import to_onnx
from atml.models import ARCHITECTURES, Architecture
from atml.models.batch_norm import batch_norm
from atml.models.layout import (
    MANY_CHANNELS,
    BatchNorm1d,
    Conv1d,
    Dropout,
    HalvingMaxPool1d,
    is_channels_last,
)

every_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES.keys())
PLAIN: dict[type[nn.Module], type[nn.Module]] = {
    Conv1d: nn.Conv1d,
    BatchNorm1d: nn.BatchNorm1d,
    HalvingMaxPool1d: nn.MaxPool1d,
    Dropout: nn.Dropout,
}


@pytest.fixture(autouse=True)
def _one_thread_one_seed():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def plain(module: nn.Module) -> nn.Module:
    """Return a copy of `module` made of PyTorch's own layers."""
    twin = copy.deepcopy(module)
    for part in twin.modules():
        part.__class__ = PLAIN.get(type(part), type(part))
    return twin


def channels_last(*shape: int) -> Tensor:
    batch, channels, time = shape
    return torch.randn(batch, time, channels).transpose(1, 2)


def in_both_layouts(*shape: int) -> list[Tensor]:
    x = torch.randn(*shape)
    return [x, x.transpose(1, 2).contiguous().transpose(1, 2)]


def assert_same(layer: nn.Module, x: Tensor) -> Tensor:
    """Compare outputs, gradients and buffers to those of PyTorch's own layers; return the output."""
    outcomes = []
    for module in (layer, plain(layer)):
        given = x.detach().clone().requires_grad_()
        y = module(given)
        torch.manual_seed(1)
        module.zero_grad()
        (y * torch.randn(y.shape, dtype=y.dtype)).sum().backward()
        assert given.grad is not None
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        outcomes.append((y, [given.grad, *gradients, *module.buffers()]))
    (fast, fast_rest), (slow, slow_rest) = outcomes
    assert fast.shape == slow.shape
    torch.testing.assert_close(fast, slow, rtol=1e-5, atol=1e-5)
    for one, other in zip(fast_rest, slow_rest, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    return fast


class TestConv1d:
    @pytest.mark.parametrize("batch", [1, 3])
    @pytest.mark.parametrize("bias", [True, False])
    @pytest.mark.parametrize(
        ("inputs", "outputs", "kernel", "options"),
        [
            (1, 8, 15, {"stride": 5, "padding": 7}),
            (1, 13, 6, {"stride": 2}),
            (4, 8, 5, {"stride": 2}),
            (8, 3, 4, {"stride": 3, "padding": 1}),
            (7, 11, 3, {"dilation": 4, "padding": 4}),
            (12, 12, 5, {"groups": 12, "padding": 2}),
            (12, 24, 7, {"groups": 4, "stride": 2, "padding": 3}),
            (16, 16, 7, {"groups": 16, "dilation": 8, "padding": 24}),
            (9, 17, 1, {}),
            (8, 16, 3, {"padding": "same"}),
            (8, 16, 3, {"padding": "valid"}),
            (8, 16, 3, {"padding": 1, "padding_mode": "circular"}),
        ],
    )
    def test_computes_what_pytorchs_own_does(
        self, batch: int, bias: bool, inputs: int, outputs: int, kernel: int, options: dict[str, int]
    ):
        layer = Conv1d(inputs, outputs, kernel, bias=bias, **options)  # type: ignore[arg-type]
        for x in in_both_layouts(batch, inputs, 61):
            assert_same(layer, x)

    @pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (3, 16), (16, 3), (32, 8)])
    @pytest.mark.parametrize("batch", [1, 5])
    def test_a_single_sample_is_a_matrix_product(self, inputs: int, outputs: int, batch: int):
        layer = Conv1d(inputs, outputs, 1)
        assert "Addmm" in layer(torch.randn(batch, inputs, 1)).grad_fn.next_functions[0][0].name()
        assert_same(layer, torch.randn(batch, inputs, 1))

    def test_a_single_sample_under_padding_or_groups_stays_a_convolution(self):
        assert_same(Conv1d(8, 8, 1, padding=1), torch.randn(2, 8, 1))
        assert_same(Conv1d(8, 8, 1, groups=8), torch.randn(2, 8, 1))
        assert_same(Conv1d(8, 8, 3, padding=1), torch.randn(2, 8, 1))

    def test_a_segment_without_a_batch_stays_as_pytorch_has_it(self):
        assert_same(Conv1d(4, 8, 3), torch.randn(4, 20))

    @pytest.mark.parametrize("inputs", [1, 4, 8])
    @pytest.mark.parametrize("outputs", [2, 3, 8])
    def test_the_result_is_channels_last(self, inputs: int, outputs: int):
        assert is_channels_last(Conv1d(inputs, outputs, 3)(torch.randn(2, inputs, 40)))

    def test_the_gradient_reaches_a_single_channel(self):
        assert_same(Conv1d(1, 8, 5, 2), torch.randn(3, 1, 50)[:, :, ::2])


class TestBatchNorm1d:
    @pytest.mark.parametrize(
        "shape", [(1, 8, 9), (4, 3, 17), (16, 2, 14), (2, 7, 3), (5, 12, 20), (64, 32, 7), (3, 8, 1)]
    )
    @pytest.mark.parametrize("mode", [True, False])
    @pytest.mark.parametrize("options", [{}, {"momentum": None}, {"affine": False}])
    def test_computes_what_pytorchs_own_does(
        self, shape: tuple[int, ...], mode: bool, options: dict[str, object]
    ):
        layer = BatchNorm1d(shape[1], **options)  # type: ignore[arg-type]
        layer.running_mean.normal_()  # type: ignore[union-attr]
        layer.train(mode)
        for x in in_both_layouts(*shape):
            y = assert_same(layer, 3 * x + 1)
            assert is_channels_last(y) == is_channels_last(x)

    @pytest.mark.parametrize("channels", [MANY_CHANNELS - 1, MANY_CHANNELS])
    def test_counts_batches(self, channels: int):
        layer = BatchNorm1d(channels)
        layer(channels_last(2, channels, 5))
        assert layer.num_batches_tracked == 1

    def test_the_gradients_are_those_of_finite_differences(self):
        def result(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
            zeros = torch.zeros(3, dtype=torch.float64)
            return batch_norm(x, zeros, zeros.clone(), weight, bias, 1e-5, 0.1)

        x = channels_last(2, 3, 6).double().requires_grad_()
        weight, bias = torch.randn(2, 3, dtype=torch.float64).unbind()
        torch.autograd.gradcheck(result, (x, weight.clone().requires_grad_(), bias.clone().requires_grad_()))

    def test_a_large_offset_does_not_bury_the_variance(self):
        layer, x = BatchNorm1d(3), channels_last(64, 3, 40)
        torch.testing.assert_close(layer(x + 1000), layer(x), rtol=0, atol=1e-3)

    def test_other_dimensions_are_pytorchs_affair(self):
        assert_same(BatchNorm1d(8), torch.randn(5, 8))


class TestHalvingMaxPool1d:
    @pytest.mark.parametrize("time", [2, 7, 20])
    def test_computes_what_pytorchs_own_does_with_and_without_gradients(self, time: int):
        layer = HalvingMaxPool1d()
        for x in in_both_layouts(3, 8, time):
            assert_same(layer, x)
            with torch.no_grad():
                assert torch.equal(layer(x), plain(layer)(x))

    def test_keeps_the_layout(self):
        with torch.no_grad():
            assert is_channels_last(HalvingMaxPool1d()(channels_last(3, 8, 20)))


class TestDropout:
    def test_drops_the_share_it_is_told_and_scales_the_rest(self):
        y = Dropout(0.25)(torch.ones(100, 1000))
        assert y.unique().tolist() == [0, pytest.approx(1 / 0.75)]
        assert (y == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)

    def test_drops_the_same_forward_and_back(self):
        x = torch.ones(20, 20, requires_grad=True)
        y = Dropout(0.5)(x)
        y.sum().backward()
        assert x.grad is not None
        assert torch.equal(x.grad, y)

    def test_the_seed_decides_what_drops(self):
        first, second = (torch.manual_seed(3) and Dropout(0.5)(torch.ones(50)) for _ in range(2))
        assert torch.equal(first, second)

    @pytest.mark.parametrize(("share", "kept"), [(0.0, 1.0), (1.0, 0.0)])
    def test_none_and_all(self, share: float, kept: float):
        assert (Dropout(share)(torch.ones(9)) == kept).all()

    def test_evaluation_leaves_all(self):
        x = torch.randn(9)
        assert torch.equal(Dropout(0.5).eval()(x), x)


class TestArchitectures:
    @every_architecture
    def test_trains_as_it_would_on_pytorchs_own_layers(self, architecture: Architecture):
        # In double precision: a rounding error at the kink of a ReLU would change a gradient.
        model = architecture.build(architecture.default(), 1250).double()
        for part in model.modules():
            if isinstance(part, nn.Dropout):
                part.p = 0.0  # the two draw different numbers
        assert_same(model, torch.randn(6, 1, 1250, dtype=torch.float64))

    @every_architecture
    def test_evaluates_as_it_would_on_pytorchs_own_layers(self, architecture: Architecture):
        model = architecture.build(architecture.default(), 1250).eval()
        x = torch.randn(6, 1, 1250)
        with torch.no_grad():
            torch.testing.assert_close(model(x), plain(model)(x), rtol=1e-5, atol=1e-5)

    @every_architecture
    def test_every_layer_that_could_be_fast_is(self, architecture: Architecture):
        model = architecture.build(architecture.default(), 1250)
        assert not {type(part) for part in model.modules()} & set(PLAIN.values())

    @every_architecture
    def test_stores_weights_under_the_names_of_pytorchs_own_layers(self, architecture: Architecture):
        model = architecture.build(architecture.default(), 1250)
        assert list(model.state_dict()) == list(plain(model).state_dict())

    @every_architecture
    def test_exports_the_graph_of_pytorchs_own_layers(self, architecture: Architecture):
        model = architecture.build(architecture.default(), 1250)
        assert to_onnx(model, segment_length=1250) == to_onnx(plain(model), segment_length=1250)

    @every_architecture
    def test_trains_to_the_same_bits_again(self, architecture: Architecture):
        def trained() -> list[Tensor]:
            torch.manual_seed(5)
            model = architecture.build(architecture.default(), 1250)
            optimizer = torch.optim.AdamW(model.parameters())
            for _ in range(2):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(torch.randn(8, 1, 1250)), torch.randint(2, (8,))).backward()
                optimizer.step()
            return list(model.state_dict().values())

        for one, other in zip(trained(), trained(), strict=True):
            assert torch.equal(one, other)
