import itertools
import json

import pytest

from atml.errors import ModelError
from atml.models import ARCHITECTURES, get_architecture
from atml.tuning.candidates import APART, Candidate, fitting_architectures, sized_candidates
from atml.tuning.sizes import size_before_training

LENGTH = 1250
SCALABLE = ("afnet", "conv_gru", "dscnn")


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
        measured, parameters = size_before_training(one.proposal(0.01), LENGTH, "int8")
        assert (one.onnx_bytes, one.parameters) == (measured, parameters)
        limit = min(size for size in sizes if size >= one.onnx_bytes)
        assert one.onnx_bytes > 0.75 * limit
        (as_float,) = sized_candidates([name], [limit], LENGTH) or (None,)
        assert as_float is None or one.parameters > 1.4 * as_float.parameters
