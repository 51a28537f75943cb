"""What C code needs is known from the model file, and equals what is measured."""

from functools import cache

import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from atml.errors import ModelError
from atml.export import quantize_weights, to_onnx
from atml.export.c import check_c, footprint, to_c, tools
from atml.export.c.footprint import STACK_BYTES
from atml.models import ARCHITECTURES, get_architecture
from atml.models.front import SegmentNorm
from atml.tuning.proposal import Proposal
from atml.tuning.sizes import footprint_before_training, onnx_metadata, size_before_training

LENGTH = 1250
missing = tools.missing_for_target()
needs_target = pytest.mark.skipif(bool(missing), reason=tools.advice(missing))


def proposal(name: str) -> Proposal:
    architecture = get_architecture(name)
    smallest = architecture.default().model_copy(update=architecture.minimum_widths)
    return Proposal(architecture=architecture, config=smallest, learning_rate=1.0)


@cache
def model(name: str, *, int8: bool) -> bytes:
    one = proposal(name)
    metadata = onnx_metadata(one, threshold=0.3456)
    content = to_onnx(one.build(LENGTH, seed=3), segment_length=LENGTH, metadata=metadata)
    return quantize_weights(content) if int8 else content


def exported(network: nn.Module) -> bytes:
    network = nn.Sequential(SegmentNorm(), network)
    return to_onnx(network, segment_length=LENGTH, metadata=onnx_metadata(proposal("linear"), threshold=0.5))


@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_memory_is_that_of_the_generated_code(name: str, int8: bool):
    content = model(name, int8=int8)
    assert footprint(content).ram_bytes == to_c(content).memory_bytes + STACK_BYTES


def test_products_are_counted_as_pytorch_executes_them():
    architecture = get_architecture("simple_cnn")
    one = Proposal(architecture=architecture, config=architecture.default(), learning_rate=1.0)
    network = one.build(LENGTH, seed=0).eval()
    counted = 0

    def count(module: torch.nn.Module, _inputs: object, output: torch.Tensor) -> None:
        nonlocal counted
        counted += output.numel() * module.weight[0].numel()  # type: ignore[index, operator]

    for part in network.modules():
        if isinstance(part, torch.nn.Conv1d | torch.nn.Linear):
            part.register_forward_hook(count)
    network(torch.zeros(1, 1, LENGTH))
    expected = counted
    content = to_onnx(network, segment_length=LENGTH, metadata=onnx_metadata(one))
    assert footprint(content).macs == expected


@needs_target
@pytest.mark.parametrize("name", ["conv_gru", "dscnn"])
def test_flash_and_instructions_before_training_are_those_of_the_trained_model(name: str):
    one = proposal(name)
    before = footprint_before_training(one, LENGTH, flash=True, instructions=True)
    target = check_c(to_c(model(name, int8=True))).target
    assert target is not None
    assert before.flash_bytes == target.flash_bytes == size_before_training(one, LENGTH, size_of="flash")[0]
    assert before.instructions == pytest.approx(target.instructions, rel=0.03)
    assert before.ram_bytes >= target.ram_bytes


@needs_target
@pytest.mark.parametrize("int8", [False, True])
def test_the_stack_of_a_wide_gru_is_counted(int8: bool):
    architecture = get_architecture("conv_gru")
    config = architecture.config(channels=4, hidden=48)
    one = Proposal(architecture=architecture, config=config, learning_rate=1.0)
    content = to_onnx(one.build(LENGTH, seed=3), segment_length=LENGTH, metadata=onnx_metadata(one))
    content = quantize_weights(content) if int8 else content
    target = check_c(to_c(content)).target
    assert target is not None
    assert target.stack_bytes > STACK_BYTES
    assert target.ram_bytes <= footprint(content).ram_bytes <= target.ram_bytes + 100


def test_without_the_compiler_flash_is_unknown_and_the_advice_names_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    content = model("linear", int8=True)
    assert footprint(content).flash_bytes is None
    with pytest.raises(ModelError, match=r"apt-get install .*gcc-arm-none-eabi"):
        footprint(content, flash=True)


class Windows(nn.Module):
    """Gives parts of a segment to a layer as a batch, and the results to a last layer."""

    def __init__(self, shape: tuple[int, ...], layer: nn.Module, features: int) -> None:
        super().__init__()
        self.shape, self.layer, self.last = shape, layer, nn.Linear(features, 2)

    def forward(self, ecg: Tensor) -> Tensor:
        found = self.layer(ecg.reshape(self.shape))
        found = found[0] if isinstance(found, tuple) else found
        return self.last(found.reshape(-1, self.last.in_features))


@pytest.mark.parametrize(
    ("operator", "shape", "layer", "features"),
    [
        ("Conv", (-1, 1, 125), nn.Conv1d(1, 2, 25, 25), 100),
        ("GRU", (-1, 25, 10), nn.GRU(10, 4, batch_first=True), 500),
        ("InstanceNormalization", (-1, 5, 50), nn.GroupNorm(1, 5), LENGTH),
    ],
)
def test_parts_of_a_segment_in_the_batch_are_refused_where_a_template_computes_one(
    operator: str, shape: tuple[int, ...], layer: nn.Module, features: int
):
    content = exported(Windows(shape, layer, features))
    for refused in (footprint, to_c):
        with pytest.raises(ModelError, match=f"{operator} of several parts of a segment at once is not supp"):
            refused(content)


@pytest.mark.parametrize(
    ("layers", "features", "reason"),
    [
        ([nn.Unflatten(2, (10, 125)), nn.Conv2d(1, 4, 5, 5)], 200, "over more than one axis, such as Conv2d"),
        (
            [nn.Unflatten(1, (1, 1)), nn.Conv2d(1, 4, (1, 5), 5)],
            1000,
            "over more than one axis, such as Conv2d",
        ),
        ([nn.Unflatten(2, (10, 125)), nn.Flatten(1, 2)], 1250, "the operator Mod is not supported"),
        ([nn.ReflectionPad1d(2)], 1254, "the operator ConstantOfShape is not supported"),
    ],
)
@pytest.mark.parametrize("quantize", [False, True])
def test_what_a_plug_in_may_use_is_refused_in_plain_words(
    layers: list[nn.Module], features: int, reason: str, quantize: bool
):
    content = exported(nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, 2)))
    for refused in (footprint, to_c):
        with pytest.raises(ModelError, match=reason):
            refused(quantize_weights(content) if quantize else content)


def test_products_of_a_linear_layer_are_counted_for_each_part_of_a_segment():
    content = exported(Windows((-1, 25), nn.Linear(25, 6), 300))
    assert footprint(content).macs == 50 * 25 * 6 + 300 * 2


class Parts(nn.Module):
    """Cuts a segment into parts and joins them twice in other orders."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.length, self.last = LENGTH // count, nn.Linear(LENGTH, 2)

    def forward(self, ecg: Tensor) -> Tensor:
        parts = ecg.split(self.length, 2)
        return self.last((torch.cat(parts[::-1], 2) * torch.cat(parts, 2)).flatten(1))


@needs_target
@pytest.mark.parametrize("count", [25, 50])
def test_the_stack_of_many_parts_is_counted(count: int):
    content = exported(Parts(count))
    target = check_c(to_c(content)).target
    assert target is not None
    assert target.stack_bytes > STACK_BYTES
    assert target.ram_bytes <= footprint(content).ram_bytes <= target.ram_bytes + 800


def test_what_cannot_be_generated_is_refused_by_name():
    node = helper.make_node("Erf", ["ecg"], ["logits"])
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2]) for name in ("ecg", "logits")]
    graph = helper.make_graph([node], "g", values[:1], values[1:])
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()
    with pytest.raises(ModelError, match="Erf"):
        footprint(content)
