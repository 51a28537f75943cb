from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from atml.errors import ModelError
from atml.export import OnnxClassifier, OnnxMetadata, to_onnx
from atml.export.classifier import BATCH
from atml.models.conv_gru import CONV_GRU

LENGTH = 1250
METADATA = OnnxMetadata(
    sampling_rate_hz=250,
    classes=("other", "AFIB"),
    threshold=0.5,
    architecture="conv_gru",
)


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return CONV_GRU.build(CONV_GRU.default(), LENGTH).eval()


@pytest.fixture(scope="module")
def content(model: torch.nn.Module) -> bytes:
    return to_onnx(model, segment_length=LENGTH, metadata=METADATA)


def segments(count: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(count, LENGTH)).astype(np.float32)


def relu_model(
    *, names: tuple[str, str] = ("ecg", "logits"), shape: tuple[str | int, ...] = ("batch", 2)
) -> bytes:
    ecg, logits = (helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in names)
    graph = helper.make_graph([helper.make_node("Relu", [names[0]], [names[1]])], "g", [ecg], [logits])
    opsets = [helper.make_opsetid("", 17)]
    proto = helper.make_model(graph, ir_version=8, opset_imports=opsets)
    onnx.checker.check_model(proto)
    return proto.SerializeToString()


class TestProbabilities:
    def test_are_the_softmax_of_the_logits(self, model: torch.nn.Module, content: bytes):
        samples = segments(5)
        with torch.no_grad():
            expected = torch.softmax(model(torch.from_numpy(samples[:, None])), dim=1)[:, 1]
        found = OnnxClassifier(content).probabilities(samples)
        assert found.shape == (5,)
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)

    def test_do_not_depend_on_the_batch(self, content: bytes):
        classifier = OnnxClassifier(content)
        samples = segments(BATCH + 3)
        alone = [classifier.probabilities(samples[at : at + 1])[0] for at in range(BATCH - 2, BATCH + 3)]
        np.testing.assert_allclose(classifier.probabilities(samples)[-5:], alone, atol=1e-6)

    def test_of_no_segment_are_empty(self, content: bytes):
        assert OnnxClassifier(content).probabilities(segments(0)).shape == (0,)

    def test_other_number_types_are_converted(self, content: bytes):
        classifier = OnnxClassifier(content)
        samples = segments(2)
        expected = classifier.probabilities(samples)
        np.testing.assert_array_equal(classifier.probabilities(samples.astype(float)), expected)

    @pytest.mark.parametrize("shape", [(2, 1000), (LENGTH,), (2, 1, LENGTH)])
    def test_a_wrong_length_names_both(self, content: bytes, shape: tuple[int, ...]):
        with pytest.raises(ModelError, match=rf"segments of 1250 samples.*shape.*{shape[-1]}"):
            OnnxClassifier(content).probabilities(np.zeros(shape, np.float32))

    def test_huge_logits_do_not_overflow(self, model: torch.nn.Module, content: bytes):
        found = OnnxClassifier(content).probabilities(1e6 * segments(3))
        assert np.all((found >= 0) & (found <= 1))


class TestLogits:
    def test_are_the_models(self, model: torch.nn.Module, content: bytes):
        samples = segments(5)
        with torch.no_grad():
            expected = model(torch.from_numpy(samples[:, None])).numpy()
        found = OnnxClassifier(content).logits(samples)
        assert (found.shape, found.dtype) == ((5, 2), np.float32)
        np.testing.assert_allclose(found, expected, atol=1e-4)

    def test_of_no_segment_are_empty(self, content: bytes):
        assert OnnxClassifier(content).logits(segments(0)).shape == (0, 2)


class TestFiles:
    def test_path_text_and_bytes_are_the_same(self, content: bytes, tmp_path: Path):
        path = tmp_path / "model.onnx"
        path.write_bytes(content)
        for source in (path, str(path), content):
            assert OnnxClassifier(source).segment_length == LENGTH

    def test_a_missing_file_is_named(self, tmp_path: Path):
        with pytest.raises(ModelError, match=r"nothing.onnx cannot be read: No such file"):
            OnnxClassifier(tmp_path / "nothing.onnx")

    @pytest.mark.parametrize("content", [b"", b"no model at all", b"\x00" * 100])
    def test_a_file_that_is_no_onnx_is_named(self, content: bytes, tmp_path: Path):
        path = tmp_path / "model.onnx"
        path.write_bytes(content)
        with pytest.raises(ModelError, match=r"model.onnx is not an ONNX model"):
            OnnxClassifier(path)

    def test_a_cut_file_is_no_onnx(self, content: bytes):
        with pytest.raises(ModelError, match="The model is not an ONNX model"):
            OnnxClassifier(content[: len(content) // 2])

    def test_other_names_break_the_contract(self):
        with pytest.raises(ModelError, match=r"must map 'ecg'.*but maps 'input'.*to 'output'"):
            OnnxClassifier(relu_model(names=("input", "output")))

    def test_other_shapes_break_the_contract(self):
        with pytest.raises(ModelError, match=r"\[batch, 1, L\].*but maps 'ecg' .*'batch', 2"):
            OnnxClassifier(relu_model())

    def test_a_fixed_batch_breaks_the_contract(self):
        with pytest.raises(ModelError, match="must map 'ecg'"):
            OnnxClassifier(relu_model(shape=(1, 2)))

    def test_missing_metadata_are_named(self, model: torch.nn.Module):
        with pytest.raises(ModelError, match="lacks the metadata 'sampling_rate_hz'"):
            OnnxClassifier(to_onnx(model, segment_length=LENGTH))

    def test_unreadable_metadata_are_named(self, content: bytes):
        proto = onnx.load_from_string(content)
        properties = {**METADATA.to_properties(), "threshold": "high"}
        helper.set_model_props(proto, properties)
        with pytest.raises(ModelError, match=r"unreadable metadata.*'high'"):
            OnnxClassifier(proto.SerializeToString())


def odd_model(*nodes: onnx.NodeProto, constants: dict[str, np.ndarray] | None = None) -> OnnxClassifier:
    """Return a model of four samples that keeps to the contract and answers something odd."""
    ecg = helper.make_tensor_value_info("ecg", TensorProto.FLOAT, ("batch", 1, 4))
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ("rows", 2))
    weights = [onnx.numpy_helper.from_array(value, name) for name, value in (constants or {}).items()]
    graph = helper.make_graph(list(nodes), "odd", [ecg], [logits], weights)
    proto = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    helper.set_model_props(proto, METADATA.to_properties())
    return OnnxClassifier(proto.SerializeToString())


class TestOddAnswers:
    SAMPLES = np.zeros((3, 4), np.float32)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_a_logit_that_is_no_number_is_refused(self, value: float):
        classifier = odd_model(
            helper.make_node("ReduceSum", ["ecg", "axes"], ["sums"], keepdims=0),
            helper.make_node("Unsqueeze", ["sums", "last"], ["column"]),
            helper.make_node("Add", ["column", "value"], ["logits"]),
            constants={
                "axes": np.array([1, 2]),
                "last": np.array([1]),
                "value": np.array([0, value], np.float32),
            },
        )
        with pytest.raises(ModelError, match=r"logits for segment 0 .* are not finite"):
            classifier.probabilities(self.SAMPLES)

    def test_another_number_of_rows_is_refused(self):
        classifier = odd_model(
            helper.make_node("Reshape", ["ecg", "shape"], ["logits"]), constants={"shape": np.array([-1, 2])}
        )
        with pytest.raises(ModelError, match=r"returns logits of shape \[6, 2\] for 3 segments"):
            classifier.probabilities(self.SAMPLES)

    def test_a_model_that_asks_for_more_memory_than_there_is_is_refused(self):
        nodes = (
            helper.make_node("ConstantOfShape", ["huge"], ["zeros"]),
            helper.make_node("ReduceSum", ["zeros"], ["zero"], keepdims=0),
            helper.make_node("Reshape", ["ecg", "shape"], ["pairs"]),
            helper.make_node("Add", ["pairs", "zero"], ["logits"]),
        )
        constants = {"huge": np.array([2**50]), "shape": np.array([-1, 2])}
        # Older ONNX Runtimes compute constants when a model is loaded.
        with pytest.raises(ModelError, match=r"The model (cannot|is not an ONNX model that can) be run"):
            odd_model(*nodes, constants=constants).probabilities(self.SAMPLES)

    @pytest.mark.parametrize("classes", ["AFIB", "A,B,AFIB", "AFIB,other", "other,nonsense", ",AFIB", ""])
    def test_other_classes_than_two_with_afib_last_are_refused(self, content: bytes, classes: str):
        with pytest.raises(ModelError, match="metadata"):
            OnnxClassifier(with_property(content, "classes", classes))

    @pytest.mark.parametrize("rate", ["0", "500", "-250", "250.0", "nan", "9" * 5000])
    def test_another_sampling_rate_is_refused(self, content: bytes, rate: str):
        with pytest.raises(ModelError, match="metadata"):
            OnnxClassifier(with_property(content, "sampling_rate_hz", rate))


def with_property(content: bytes, name: str, value: str) -> bytes:
    proto = onnx.load_from_string(content)
    helper.set_model_props(proto, {**METADATA.to_properties(), name: value})
    return proto.SerializeToString()
