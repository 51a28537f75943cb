from dataclasses import replace

import pytest
import torch

from atml.export import OnnxClassifier, to_onnx
from atml.models import ARCHITECTURES, count_parameters, get_architecture
from atml.search.proposal import Proposal
from atml.search.sizes import onnx_metadata, size_before_training
from atml.training import TrainingSettings, train


def proposal(name, learning_rate=0.01):
    architecture = get_architecture(name)
    return Proposal(architecture=architecture, config=architecture.default(), learning_rate=learning_rate)


@pytest.mark.parametrize("name", ["linear", "optimized_afnet", "conv_gru"])
def test_the_size_known_before_training_is_that_of_the_file_made_after_it(name, split):
    length = split.train.segment_length
    before, parameters = size_before_training(proposal(name), length)
    network = proposal(name).build(length, seed=3)
    settings = TrainingSettings(epochs=1, learning_rate=0.01)
    for _ in train(network, split, settings, device=torch.device("cpu")):
        pass
    # The number of a later trial and a calibrated threshold change no byte count.
    metadata = onnx_metadata(proposal(name), study="study", trial=123, threshold=0.12345)
    model = to_onnx(network, segment_length=length, metadata=metadata)
    assert len(model) == before
    assert count_parameters(network) == parameters
    assert OnnxClassifier(model).metadata == replace(metadata, threshold=0.1235)


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_every_architecture_has_one_size_whatever_the_learning_rate_the_trial_and_the_study(name):
    sizes = {
        len(
            to_onnx(
                proposal(name, rate).build(1250, seed=trial),
                segment_length=1250,
                metadata=onnx_metadata(proposal(name, rate), study=study, trial=trial),
            )
        )
        for rate, trial, study in ((0.1, 0, "s"), (0.001, 99_999, "s" * 64))
    } | {size_before_training(proposal(name, 0.2), 1250)[0]}
    assert len(sizes) == 1


def test_building_leaves_the_global_random_state_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    first = proposal("conv_gru").build(250, seed=1).state_dict()
    assert torch.rand(1) == expected
    again = proposal("conv_gru").build(250, seed=1).state_dict()
    other = proposal("conv_gru").build(250, seed=2).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)
