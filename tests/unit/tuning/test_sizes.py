from dataclasses import replace

import pytest
import torch

from atml.export import OnnxClassifier, quantize_weights, to_onnx
from atml.models import ARCHITECTURES, count_parameters, get_architecture
from atml.training import TrainingSettings, WithoutValidation, train
from atml.tuning.proposal import Proposal
from atml.tuning.sizes import onnx_metadata, size_before_training


def proposal(name, learning_rate=0.01):
    architecture = get_architecture(name)
    return Proposal(architecture=architecture, config=architecture.default(), learning_rate=learning_rate)


@pytest.mark.parametrize("name", ["linear", "optimized_afnet", "conv_gru"])
def test_the_size_known_before_training_is_that_of_the_file_made_after_it(name, dataset):
    length = dataset.segment_length
    before, parameters = size_before_training(proposal(name), length)
    network = proposal(name).build(length, seed=3)
    settings = TrainingSettings(epochs=1, learning_rate=0.01, segments_per_epoch=64, batch_size=32)
    for _ in train(network, WithoutValidation(train=dataset), settings, device=torch.device("cpu")):
        pass
    # A calibrated threshold changes no byte count.
    metadata = onnx_metadata(proposal(name), threshold=0.12345)
    model = to_onnx(network, segment_length=length, metadata=metadata)
    assert len(model) == before
    assert count_parameters(network) == parameters
    assert OnnxClassifier(model).metadata == replace(metadata, threshold=0.1235)


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_every_architecture_has_one_size_whatever_the_learning_rate_and_the_weights(name):
    model = to_onnx(
        proposal(name, 0.001).build(1250, seed=99_999),
        segment_length=1250,
        metadata=onnx_metadata(proposal(name, 0.001), threshold=0.9999),
    )
    assert len(model) == size_before_training(proposal(name, 0.2), 1250)[0]
    assert len(quantize_weights(model)) == size_before_training(proposal(name, 0.2), 1250, size_of="int8")[0]


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
