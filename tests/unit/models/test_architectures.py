import dataclasses

import optuna
import pytest
import torch
from torch import Tensor, nn

from atml import models
from atml.errors import ModelError
from atml.models import (
    ARCHITECTURES,
    Architecture,
    Config,
    Suggester,
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
            "Suggester",
            "count_parameters",
            "get_architecture",
            "width",
        }

    @every_architecture
    def test_summary_is_one_short_line(self, architecture: Architecture):
        assert 0 < len(architecture.summary) <= 100
        assert "\n" not in architecture.summary


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

    @pytest.mark.parametrize(("channels", "hidden", "count"), [(8, 16, 4794), (6, 8, 1956)])
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
    @pytest.mark.parametrize("end", [0, 1])
    def test_networks_build_at_both_ends_of_the_space(self, architecture: Architecture, end: int):
        space = architecture.width_space(low=0.25, high=2)
        widths = {name: bounds[end] for name, bounds in space.items()}
        config = dataclasses.replace(architecture.default(), **widths)
        model = architecture.build(config, LENGTH)
        assert model(torch.randn(2, 1, LENGTH)).shape == (2, 2)

    @every_architecture
    def test_suggestions_of_a_fixed_trial_become_the_config(self, architecture: Architecture):
        space = architecture.width_space(low=0.5, high=1.5)
        chosen = {name: high for name, (_, high) in space.items()}
        config = architecture.suggest(optuna.trial.FixedTrial(chosen), low=0.5, high=1.5)
        values = architecture.config_to_dict(config)
        assert values == {**architecture.config_to_dict(architecture.default()), **chosen}

    def test_a_study_explores_the_space_and_stays_inside(self):
        conv_gru = get_architecture("conv_gru")
        suggested: list[Config] = []

        def objective(trial: optuna.Trial) -> float:
            suggester: Suggester = trial
            suggested.append(conv_gru.suggest(suggester, low=0.5, high=2))
            return 0

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        study.optimize(objective, n_trials=20)
        assert set(study.trials[0].params) == {"channels", "hidden"}
        assert len(set(suggested)) > 10
        assert all(4 <= c.channels <= 16 and 8 <= c.hidden <= 32 for c in suggested)

    def test_the_base_scales_the_space_and_keeps_its_other_fields(self):
        afnet = get_architecture("afnet")
        base = AFNetConfig(channels=8, fc=4, dropout=0.3)
        space = afnet.width_space(low=0.5, high=1, base=base)
        assert space == {"channels": (4, 8), "fc": (2, 4)}
        trial = optuna.trial.FixedTrial({"channels": 5, "fc": 3})
        config = afnet.suggest(trial, low=0.5, high=1, base=base)
        assert config == AFNetConfig(channels=5, fc=3, dropout=0.3)

    def test_a_width_never_falls_below_its_minimum(self):
        base = ConvGRUConfig(channels=3, hidden=3)
        space = get_architecture("conv_gru").width_space(low=0.1, high=0.2, base=base)
        assert space == {"channels": (2, 2), "hidden": (2, 2)}

    def test_the_linear_classifier_has_no_width(self):
        assert get_architecture("linear").width_space(low=0.5, high=2) == {}
        assert [name for name, one in ARCHITECTURES.items() if not one.has_widths] == ["linear"]

    @pytest.mark.parametrize(("low", "high"), [(0, 1), (-1, 1), (2, 1)])
    def test_an_empty_range_is_refused(self, low: float, high: float):
        with pytest.raises(ModelError, match="0 < low <= high"):
            get_architecture("afnet").width_space(low=low, high=high)

    @pytest.mark.parametrize("channels", [0, -1, 1.5, True])
    def test_an_invalid_width_cannot_be_built(self, channels: int):
        config = AFNetConfig(channels=channels)
        with pytest.raises(ModelError, match="afnet: the width 'channels' must be an integer"):
            get_architecture("afnet").build(config, LENGTH)

    def test_the_config_of_another_architecture_cannot_be_built(self):
        with pytest.raises(ModelError, match="afnet takes a AFNetConfig but got ConvGRUConfig"):
            get_architecture("afnet").build(ConvGRUConfig(), LENGTH)

    def test_an_impossible_value_is_named(self):
        with pytest.raises(ModelError, match=r"afnet cannot be built .*dropout"):
            get_architecture("afnet").build(AFNetConfig(dropout=1.5), LENGTH)

    def test_an_even_mixer_kernel_is_refused(self):
        conv_mixer = get_architecture("conv_mixer")
        config = dataclasses.replace(conv_mixer.default(), kernel=4)
        with pytest.raises(ModelError, match="kernel must be odd but got 4"):
            conv_mixer.build(config, LENGTH)
