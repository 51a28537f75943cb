import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from atml import models
from atml.errors import ModelError
from atml.models import (
    ARCHITECTURES,
    Architecture,
    count_parameters,
    get_architecture,
)
from atml.models.afnet import AFNetConfig
from atml.models.conv_gru import ConvGRUConfig

LENGTH = 1250

every_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES.keys())


@pytest.fixture(autouse=True)
def _one_thread_one_seed():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def separable_problem(length: int, count: int = 64) -> tuple[Tensor, Tensor]:
    """Return noise, and noise on a slope: a network that cannot tell them apart is broken."""
    labels = torch.arange(count) % 2
    slope = torch.linspace(-1, 1, length) * labels[:, None]
    return (0.3 * torch.randn(count, length) + slope)[:, None], labels


class TestRegistry:
    def test_names_are_stable_because_studies_store_them(self):
        assert list(ARCHITECTURES) == [
            "afnet",
            "shufflenet_v2",
            "optimized_afnet",
            "simple_cnn",
            "simple_resnet",
            "resnet1d",
            "mobilenet",
            "efficientnet",
            "custom_model",
            "linear",
            "conv_gru",
            "dscnn",
            "tcn",
            "conv_mixer",
            "tiny_cnn",
        ]

    def test_every_name_leads_to_its_architecture(self):
        assert all(get_architecture(name).name == name for name in ARCHITECTURES)

    def test_unknown_name_is_answered_with_the_nearest_and_all(self):
        with pytest.raises(ModelError, match=r"'convgru'.*mean 'conv_gru'.*afnet, .*conv_mixer"):
            get_architecture("convgru")

    def test_name_like_no_other_is_answered_with_all(self):
        with pytest.raises(ModelError, match="'qqq': choose one of afnet"):
            get_architecture("qqq")

    def test_all_is_complete(self):
        assert set(models.__all__) == {
            "ARCHITECTURES",
            "Architecture",
            "Config",
            "count_parameters",
            "get_architecture",
            "width",
        }


class TestNetwork:
    @every_architecture
    @pytest.mark.parametrize("length", [1000, LENGTH, 2500])
    def test_maps_segments_to_two_logits(self, architecture: Architecture, length: int):
        model = architecture.build(architecture.default(), length)
        assert model(torch.randn(3, 1, length)).shape == (3, 2)
        assert model.eval()(torch.randn(1, 1, length)).shape == (1, 2)

    @every_architecture
    def test_the_shortest_segment_trains_and_a_shorter_one_is_refused(self, architecture: Architecture):
        length = architecture.minimum_length
        model = architecture.build(architecture.default(), length)
        model(torch.randn(2, 1, length)).sum().backward()
        with pytest.raises(ModelError, match=f"at least {length} samples but got {length - 1}"):
            architecture.build(architecture.default(), length - 1)

    @every_architecture
    def test_learns_a_separable_problem_in_a_few_steps(self, architecture: Architecture):
        model = architecture.build(architecture.default(), LENGTH)
        samples, labels = separable_problem(LENGTH)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        losses = []
        for _ in range(12):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(samples), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < 0.5 * losses[0]

    @every_architecture
    def test_every_parameter_takes_part(self, architecture: Architecture):
        model = architecture.build(architecture.default(), LENGTH).eval()
        samples, labels = separable_problem(LENGTH, count=8)
        nn.functional.cross_entropy(model(samples), labels).backward()
        unused = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
        assert unused == []

    @every_architecture
    def test_both_logits_depend_on_every_part_of_the_segment(self, architecture: Architecture):
        model = architecture.build(architecture.default(), LENGTH).eval()
        for logit in range(2):
            ecg = torch.randn(4, 1, LENGTH, requires_grad=True)
            model(ecg)[:, logit].sum().backward()
            assert ecg.grad is not None
            seen = ecg.grad.abs().sum(dim=(0, 1)).reshape(50, -1).sum(dim=1)
            assert (seen > 0).all()

    @every_architecture
    def test_evaluation_is_deterministic_and_treats_segments_apart(self, architecture: Architecture):
        model = architecture.build(architecture.default(), LENGTH).eval()
        samples = torch.randn(5, 1, LENGTH)
        together = model(samples)
        assert torch.equal(together, model(samples))
        apart = torch.cat([model(sample[None]) for sample in samples])
        assert torch.allclose(together, apart, atol=1e-5)

    @every_architecture
    def test_the_seed_decides_the_weights(self, architecture: Architecture):
        first, second = (
            torch.manual_seed(7) and architecture.build(architecture.default(), LENGTH) for _ in range(2)
        )
        for one, other in zip(first.parameters(), second.parameters(), strict=True):
            assert torch.equal(one, other)


class TestParameterCounts:
    def test_afnet_has_the_originals_19_7_thousand(self):
        afnet = get_architecture("afnet")
        assert afnet.default() == AFNetConfig(channels=4, fc=2, dropout=0.5)
        assert count_parameters(afnet.build(afnet.default(), LENGTH)) == 19_688

    @pytest.mark.parametrize(("channels", "hidden", "count"), [(8, 16, 4778), (6, 8, 1944)])
    def test_conv_gru_is_tiny(self, channels: int, hidden: int, count: int):
        config = ConvGRUConfig(channels=channels, hidden=hidden)
        assert count_parameters(get_architecture("conv_gru").build(config, LENGTH)) == count

    @every_architecture
    def test_no_default_is_large(self, architecture: Architecture):
        assert count_parameters(architecture.build(architecture.default(), LENGTH)) < 42_000

    def test_frozen_parameters_do_not_count(self):
        layer = nn.Linear(3, 2)
        layer.bias.requires_grad = False
        assert count_parameters(layer) == 6


class TestWidths:
    @every_architecture
    @pytest.mark.parametrize("factor", [0, 2])
    def test_networks_build_at_their_smallest_and_at_twice_their_widths(
        self, architecture: Architecture, factor: int
    ):
        default = architecture.default()
        widths = {
            name: max(low, factor * getattr(default, name))
            for name, low in architecture.minimum_widths.items()
        }
        model = architecture.build(default.model_copy(update=widths), LENGTH)
        assert model(torch.randn(2, 1, LENGTH)).shape == (2, 2)

    def test_the_linear_classifier_has_no_width(self):
        assert [name for name, one in ARCHITECTURES.items() if not one.minimum_widths] == ["linear"]

    @pytest.mark.parametrize("channels", [0, -1, 1.5, True])
    def test_an_invalid_width_is_refused(self, channels: int):
        with pytest.raises(ValidationError, match="channels"):
            AFNetConfig(channels=channels)

    def test_the_config_of_another_architecture_cannot_be_built(self):
        with pytest.raises(ModelError, match="afnet takes a AFNetConfig but got ConvGRUConfig"):
            get_architecture("afnet").build(ConvGRUConfig(), LENGTH)

    def test_an_impossible_value_is_named(self):
        with pytest.raises(ModelError, match=r"afnet cannot be built .*dropout"):
            get_architecture("afnet").build(AFNetConfig(dropout=1.5), LENGTH)

    def test_an_even_mixer_kernel_is_refused(self):
        conv_mixer = get_architecture("conv_mixer")
        config = conv_mixer.default().model_copy(update={"kernel": 4})
        with pytest.raises(ModelError, match="kernel must be odd but got 4"):
            conv_mixer.build(config, LENGTH)
