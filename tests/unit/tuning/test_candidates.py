import itertools
import json

import pytest
import torch
from pydantic import field_validator
from torch import nn

from atml.errors import ModelError
from atml.models import ARCHITECTURES, Architecture, Config, get_architecture, width
from atml.tuning.candidates import (
    APART,
    Candidate,
    count_activations,
    fitting_architectures,
    sized_candidates,
)
from atml.tuning.proposal import Proposal
from atml.tuning.sizes import size_before_training

LENGTH = 1250
SCALABLE = ("afnet", "conv_gru", "dscnn")


class PluginConfig(Config):
    """The config of a plug-in."""

    channels: int = width(8, minimum=4)


@pytest.fixture
def plug_in(monkeypatch):
    """Return a function that adds an architecture as an installed distribution would."""

    def plug_in(network, config=PluginConfig):
        added = Architecture(name="odd", config=config, network=network, minimum_length=200)
        monkeypatch.setitem(ARCHITECTURES._all, "odd", (added, "atml-odd"))

    return plug_in


class Layer(nn.Module):
    """Computes a function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def network(channels, *, groups=1, logits=2, inputs=None):
    return nn.Sequential(
        nn.Conv1d(1, channels, 25, stride=4),
        nn.Conv1d(channels, 2 * channels, 9, stride=4, groups=groups),
        nn.BatchNorm1d(2 * channels),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(inputs or 2 * channels, logits),
    )


@pytest.mark.parametrize("name", SCALABLE)
def test_each_is_the_largest_network_that_fits(name):
    sizes = (4_000, 12_000, 40_000)
    found = sized_candidates([name], sizes, LENGTH)
    for candidate in found:
        limit = min(size for size in sizes if size >= candidate.onnx_bytes)
        measured = size_before_training(candidate.proposal(0.01), LENGTH)
        assert measured == (candidate.onnx_bytes, candidate.parameters)
        assert candidate.onnx_bytes > 0.5 * limit or candidate is found[0]
    bytes_of = [candidate.onnx_bytes for candidate in found]
    assert all(after >= APART * before for before, after in itertools.pairwise(bytes_of))


def test_an_architecture_that_cannot_be_made_so_small_has_none():
    assert sized_candidates(["afnet"], [5_000], LENGTH) == ()


def test_one_without_widths_has_one():
    (only,) = sized_candidates(["linear"], [4_000, 12_000, 40_000], LENGTH)
    assert only.architecture == "linear"


def test_shapes_stretch_the_first_width_at_the_same_size():
    found = {
        one.shape: one for one in sized_candidates(["conv_gru"], [12_000], LENGTH, shapes=(0.7, 1.0, 1.4))
    }
    assert found[0.7].config.channels < found[1.0].config.channels < found[1.4].config.channels
    assert found[0.7].config.hidden > found[1.4].config.hidden
    assert all(9_000 < one.onnx_bytes <= 12_000 for one in found.values())


def test_no_two_of_an_architecture_have_the_same_size():
    found = sized_candidates(
        ["conv_gru", "custom_model"], [3_500, 8_000], LENGTH, shapes=(0.5, 0.7, 1.0, 1.4, 2.0)
    )
    keys = [(one.architecture, one.onnx_bytes) for one in found]
    assert len(set(keys)) == len(keys)


def test_of_two_of_nearly_one_size_and_shape_the_smaller_is_kept():
    close, apart = (
        [one.onnx_bytes for one in sized_candidates(["conv_gru"], [12_000, size], LENGTH)]
        for size in (12_900, 14_000)
    )
    assert close == apart[:1]
    assert 12_000 < apart[1] <= 14_000


def test_activations_are_the_outputs_of_all_layers_for_one_segment(plug_in):
    plug_in(lambda config, length: network(config.channels))
    proposal = Proposal(
        architecture=get_architecture("odd"), config=PluginConfig(channels=8), learning_rate=1.0
    )
    # The scaled segment; 8 channels of (1250 - 25) // 4 + 1 = 307; 16 of (307 - 9) // 4 + 1 = 75, and again
    # after BatchNorm; their means, which are flattened; two logits.
    assert count_activations(proposal, LENGTH) == 1250 + 8 * 307 + 2 * 16 * 75 + 2 * 16 + 2


def test_a_candidate_survives_json():
    for one in sized_candidates(["conv_gru", "linear"], [12_000], LENGTH):
        assert Candidate.from_list(json.loads(json.dumps(one.to_list()))) == one


def test_architectures_that_need_longer_segments_are_left_out():
    shortest = min(ARCHITECTURES, key=lambda name: get_architecture(name).minimum_length)
    assert shortest in fitting_architectures(ARCHITECTURES, 40)
    assert "afnet" not in fitting_architectures(ARCHITECTURES, 40)
    with pytest.raises(ModelError, match="40 samples"):
        fitting_architectures(["afnet"], 40)


@pytest.mark.parametrize("name", ["conv_gru", "dscnn", "optimized_afnet", "simple_resnet", "efficientnet"])
def test_sizes_of_int8_files_hold_larger_networks(name):
    sizes = [4_000, 8_000]
    for one in sized_candidates([name], sizes, LENGTH, size_of="int8"):
        measured, parameters = size_before_training(one.proposal(0.01), LENGTH, size_of="int8")
        assert (one.onnx_bytes, one.parameters) == (measured, parameters)
        limit = min(size for size in sizes if size >= one.onnx_bytes)
        assert one.onnx_bytes > 0.75 * limit
        (as_float,) = sized_candidates([name], [limit], LENGTH) or (None,)
        assert as_float is None or one.parameters > 1.4 * as_float.parameters


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda config: network(config.channels, groups=4),
            r"built from .*channels=\d+.: ValueError: .*groups",
        ),
        (lambda config: None, "exported as .*TypeError: 'NoneType'"),
        (lambda config: nn.Sequential(nn.LazyConv1d(config.channels, 25)), "built from .*uninitialized"),
        (lambda config: nn.MultiheadAttention(config.channels, 3), "built from .*AssertionError: embed_dim"),
        (lambda config: network(config.channels, inputs=3), "exported as .*shapes cannot be multiplied"),
        (
            lambda config: network(config.channels, logits=1),
            r"must return logits \[2, 2\] .* returns \[2, 1\]",
        ),
        (lambda config: Layer(lambda x: {"logits": x}), "must return logits .* returns dict"),
        (lambda config: Layer(lambda x: torch.fft.rfft(x[:, 0]).abs()[:, :2]), "exported as .*fft_rfft"),
        (lambda config: Layer(lambda x: x[:, 0, :2] + torch.rand(2, 2)), "exported as .*logits differ"),
    ],
    ids=[
        "groups",
        "none",
        "lazy",
        "heads",
        "shapes",
        "one logit",
        "dictionary",
        "operator",
        "another result",
    ],
)
def test_a_plug_in_that_cannot_be_used_is_named_with_its_distribution(plug_in, build, message):
    plug_in(lambda config, length: build(config))
    with pytest.raises(ModelError, match=f"odd cannot be .*{message}") as told:
        sized_candidates(["odd"], [2_000, 8_000], LENGTH)
    assert "odd comes with the distribution atml-odd; to do without it" in str(told.value)
    assert "\n" not in str(told.value)


def test_a_plug_in_whose_config_refuses_a_width_is_named_with_its_distribution(plug_in):
    class Divisible(PluginConfig):
        @field_validator("channels")
        @classmethod
        def _is_divisible(cls, channels):
            if channels % 8:
                raise ValueError("must be a multiple of 8")
            return channels

    plug_in(lambda config, length: network(config.channels), Divisible)
    with pytest.raises(ModelError, match=r"odd: the config's channels .*of 8.* distribution atml-odd"):
        sized_candidates(["odd"], [2_000, 8_000], LENGTH)


def test_a_plug_ins_networks_are_scaled_and_may_have_layers_that_return_anything(plug_in):
    class Inner(nn.Module):
        def forward(self, x):
            return {"y": x.abs()}

    class Outer(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.inner, self.last = Inner(), network(channels)

        def forward(self, x):
            return self.last(self.inner(x)["y"])

    plug_in(lambda config, length: Outer(config.channels))
    found = sized_candidates(["odd"], [4_000, 8_000], LENGTH)
    assert [3_000 < one.onnx_bytes <= 8_000 for one in found] == [True, True]


def test_measuring_leaves_the_global_random_state_alone(plug_in):
    plug_in(lambda config, length: network(config.channels))
    before = torch.get_rng_state()
    sized_candidates(["odd", "tiny_cnn"], [2_500], 1251)  # a length of its own, since sizes are cached
    assert torch.equal(torch.get_rng_state(), before)
