"""Generated C code, built with the sanitizers, computes what ONNX Runtime computes."""

import shutil
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from atml.errors import ModelError
from atml.export import OnnxClassifier, OnnxMetadata, quantize_fully, quantize_weights, to_onnx
from atml.export.c import check_c, to_c, tools, write_c
from atml.models import ARCHITECTURES, get_architecture
from atml.models.front import SegmentNorm
from atml.tuning.candidates import sized_candidates

LENGTH = 1250
BYTES = 4096
DRIVER = """
#include "ecm.h"
#include <stdio.h>
static float memory[ECM_MEMORY_FLOATS];
int main(void) {
    float logits[2];
    while (fread(memory, sizeof(float), ECM_SAMPLES, stdin) == ECM_SAMPLES) {
        const int is_afib = ecm(memory, logits);
        printf("%d %.9g %.9g\\n", is_afib, (double)logits[0], (double)logits[1]);
    }
    return 0;
}
"""
# Compares every finite 16 bit float with what the processor makes of it.
HALVES = """
#define ecm copy_of_ecm /* the original is linked, too */
#include "ecm.c"
#include <stdio.h>
int main(void) {
    int wrong = 0;
    __asm__ volatile("vmsr fpscr, %0" : : "r"(1u << 24)); /* FZ: flush subnormal floats to zero */
    const volatile float subnormal = 1e-39f;
    wrong += subnormal * 1e10f != 0.0f; /* so the rest tests nothing */
    for (uint32_t bits = 0; bits < 0x10000u; ++bits) {
        const uint16_t half = (uint16_t)bits;
        __fp16 expected;
        memcpy(&expected, &half, sizeof half);
        wrong += (bits & 0x7c00u) != 0x7c00u && from_half(half) != (float)expected;
    }
    printf("wrong: %d\\n", wrong);
    return wrong != 0;
}
"""
CPLUSPLUS = """
#include "ecm.h"
#include <vector>
int main() {
    std::vector<float> memory(ECM_MEMORY_FLOATS);
    float logits[2];
    return ecm(memory.data(), logits);
}
"""
FLAGS = [
    "-std=c99",
    "-Wall",
    "-Wextra",
    "-pedantic-errors",
    "-Werror",
    "-Wconversion",
    "-Wno-sign-conversion",
]
FLAGS += ["-g", "-O1"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]

missing_host = tools.missing_for_host()
missing_target = tools.missing_for_target()
needs_compiler = pytest.mark.skipif(bool(missing_host), reason=tools.advice(missing_host))
needs_target = pytest.mark.skipif(bool(missing_target), reason=tools.advice(missing_target))
needs_cplusplus = pytest.mark.skipif(shutil.which("g++") is None, reason=tools.advice(["g++"]))


@cache
def model(name: str, *, int8: bool = False) -> bytes:
    """Return a network of about 4 KB, or the smallest, as if it had been trained."""
    if int8:
        return quantize_weights(model(name))
    architecture = get_architecture(name)
    found = sized_candidates([name], [BYTES], LENGTH)
    smallest = architecture.default().model_copy(update=architecture.minimum_widths)
    torch.manual_seed(0)
    network = architecture.build(found[0].config if found else smallest, LENGTH)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for part in network.modules():
            if isinstance(part, nn.BatchNorm1d):
                part.momentum = 1.0
        network.train()(torch.from_numpy(segments(32)[:, None]))
    metadata = OnnxMetadata(
        sampling_rate_hz=250, classes=("Normal", "AFIB"), threshold=0.4217, architecture=name
    )
    return to_onnx(network, segment_length=LENGTH, metadata=metadata)


def segments(count: int) -> np.ndarray:
    """Return random walks of any gain and offset, a flat line and one with a single spike."""
    rng = np.random.default_rng(1)
    walks = np.cumsum(rng.normal(size=(count, LENGTH)), axis=1)
    waves = walks - 0.98 * np.roll(walks, 1, axis=1) + rng.uniform(-50, 50, size=(count, 1))
    samples = waves * 10 ** rng.uniform(-3, 3, size=(count, 1))
    samples[0] = 0.0
    samples[1] = np.eye(LENGTH)[600]
    return samples.astype(np.float32)


def run_c(content: bytes, samples: np.ndarray, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the decisions and logits of the C code, built with sanitizers."""
    write_c(to_c(content), folder)
    (folder / "driver.c").write_text(DRIVER)
    subprocess.run(
        ["cc", *FLAGS, *SANITIZERS, "-o", "driver", "driver.c", "ecm.c", "-lm"], cwd=folder, check=True
    )
    done = subprocess.run(
        [folder / "driver"], input=samples.astype(np.float32).tobytes(), capture_output=True, check=True
    )
    rows = np.array([line.split() for line in done.stdout.decode().splitlines()], dtype=float)
    return rows[:, 0], rows[:, 1:]


class OneDirection(nn.Module):
    """A GRU in one direction; ATML's own read a segment in both."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(SegmentNorm(), nn.Conv1d(1, 4, 25, 25))
        self.gru, self.last = nn.GRU(4, 5, batch_first=True), nn.Linear(5, 2)

    def forward(self, ecg: torch.Tensor) -> torch.Tensor:
        return self.last(self.gru(self.stem(ecg).transpose(1, 2))[0].mean(1))


class TestOnThisMachine:
    @needs_compiler
    @pytest.mark.parametrize("int8", [False, True], ids=["fp32", "int8"])
    @pytest.mark.parametrize("name", ARCHITECTURES)
    def test_computes_what_onnx_runtime_computes(self, name: str, int8: bool, tmp_path: Path):
        content = model(name, int8=int8)
        samples = segments(20)
        decisions, logits = run_c(content, samples, tmp_path)
        expected = OnnxClassifier(content).logits(samples)
        assert np.abs(expected[:, 1] - expected[:, 0]).std() > 0.01  # the segment matters
        assert np.abs(logits - expected).max() <= 1e-4 * max(1, np.abs(expected).max())
        threshold = OnnxClassifier(content).metadata.threshold
        sure = np.abs(expected[:, 1] - expected[:, 0] - np.log(threshold / (1 - threshold))) > 1e-3
        assert np.array_equal(
            decisions[sure], OnnxClassifier(content).probabilities(samples)[sure] >= threshold
        )

    @needs_compiler
    @pytest.mark.parametrize("int8", [False, True], ids=["fp32", "int8"])
    def test_so_does_a_gru_in_one_direction(self, int8: bool, tmp_path: Path):
        torch.manual_seed(0)
        metadata = OnnxMetadata(
            sampling_rate_hz=250, classes=("Normal", "AFIB"), threshold=0.5, architecture="x"
        )
        content = to_onnx(OneDirection(), segment_length=LENGTH, metadata=metadata)
        content = quantize_weights(content) if int8 else content
        samples = np.random.default_rng(1).normal(size=(5, LENGTH)).astype(np.float32)
        expected = OnnxClassifier(content).logits(samples)
        _, logits = run_c(content, samples, tmp_path)
        assert np.abs(logits - expected).max() <= 1e-4 * max(1, np.abs(expected).max())

    @needs_compiler
    def test_a_thousand_segments(self, tmp_path: Path):
        fp32, int8 = model("dscnn"), model("dscnn", int8=True)
        samples = segments(1000)
        (tmp_path / "fp32").mkdir()
        _, logits = run_c(fp32, samples, tmp_path / "fp32")
        differences = np.abs(logits - OnnxClassifier(fp32).logits(samples))
        assert differences.max() <= 1e-4 * max(1, np.abs(logits).max())  # the parity that exports must have
        assert np.sort(differences.max(axis=1))[-2] <= 2e-5  # the largest is the single spike's
        decisions, _ = run_c(int8, samples, tmp_path / "int8")
        expected = OnnxClassifier(int8).probabilities(samples) >= OnnxClassifier(int8).metadata.threshold
        assert np.mean(decisions == expected) >= 0.995

    @needs_compiler
    def test_the_self_test_fails_for_other_weights(self, tmp_path: Path):
        write_c(to_c(model("dscnn")), tmp_path)
        assert "ok" in tools.run(["make", "-s", "check"], tmp_path)
        other = to_c(model("dscnn", int8=True)).files
        (tmp_path / "ecm.c").write_text(other["ecm.c"])
        (tmp_path / "ecm.h").write_text(other["ecm.h"])
        with pytest.raises(ModelError, match="FAILED"):
            tools.run(["make", "-s", "check"], tmp_path)

    @needs_compiler
    def test_a_flat_line_is_one_at_any_offset(self, tmp_path: Path):
        offsets = np.array([0, 290_215, 1e6, 8e6])
        samples = np.repeat(offsets[:, None], LENGTH, axis=1)
        _, logits = run_c(model("dscnn"), samples, tmp_path)
        assert logits == pytest.approx(np.tile(logits[0], (len(offsets), 1)), abs=1e-5)

    @needs_compiler
    def test_a_sample_that_is_not_finite_gets_no_answer(self, tmp_path: Path):
        samples = segments(4)[1:]
        samples[[0, 1, 2], [0, 600, LENGTH - 1]] = np.nan, np.inf, -np.inf
        decisions, logits = run_c(model("tiny_cnn", int8=True), samples, tmp_path)
        assert np.isnan(logits).all()
        assert not decisions.any()

    @needs_compiler
    def test_the_self_test_fails_for_code_that_answers_to_nan(self, tmp_path: Path):
        sources = to_c(model("tiny_cnn"))
        write_c(sources, tmp_path)
        text = sources.files["ecm.c"]
        assert "0.0f * memory[0];" in text
        (tmp_path / "ecm.c").write_text(text.replace("0.0f * memory[0];", "0.0f;"))
        with pytest.raises(ModelError, match="FAILED"):
            tools.run(["make", "-s", "check"], tmp_path)

    @needs_cplusplus
    @needs_compiler
    def test_a_program_in_cplusplus_links(self, tmp_path: Path):
        write_c(to_c(model("tiny_cnn", int8=True)), tmp_path)
        (tmp_path / "main.cpp").write_text(CPLUSPLUS)
        tools.run(["cc", "-std=c99", "-c", "ecm.c"], tmp_path)
        tools.run(["g++", "-Wall", "-Wextra", "-pedantic-errors", "-Werror", "main.cpp", "ecm.o"], tmp_path)
        assert subprocess.run([tmp_path / "a.out"], check=False).returncode in (0, 1)

    @needs_compiler
    @pytest.mark.parametrize("flag", ["-ffast-math", "-ffinite-math-only"])
    def test_flags_that_lose_nan_are_refused(self, flag: str, tmp_path: Path):
        write_c(to_c(model("tiny_cnn")), tmp_path)
        tools.run(["cc", "-std=c99", "-O2", "-c", "ecm.c"], tmp_path)
        with pytest.raises(ModelError, match="a sample that is NaN gets an answer"):
            tools.run(["cc", "-std=c99", "-O2", flag, "-c", "ecm.c"], tmp_path)


class TestOnTheTarget:
    @needs_target
    @pytest.mark.parametrize("name", ["dscnn", "conv_gru", "shufflenet_v2"])
    def test_the_self_test_passes_on_an_emulated_cortex_m4(self, name: str):
        checked = check_c(to_c(model(name, int8=True)))
        target = checked.target
        assert target is not None
        assert 1000 < target.flash_bytes < 8000
        assert 5000 < target.ram_bytes == checked.memory_bytes + target.stack_bytes < 12_000
        assert 100_000 < target.instructions < 10_000_000

    @needs_target
    def test_halves_are_read_right_by_a_core_that_flushes_subnormal_floats(self, tmp_path: Path):
        write_c(to_c(model("efficientnet", int8=True)), tmp_path)
        (tmp_path / "ecm_selftest.c").write_text(HALVES)
        flags = "CFLAGS=-std=c99 -mfp16-format=ieee"
        assert "wrong: 0" in tools.run(["make", "-s", "qemu", flags], tmp_path)

    @needs_target
    def test_the_number_of_instructions_can_be_repeated(self):
        sources = to_c(model("dscnn"))
        assert check_c(sources) == check_c(sources)


class TestText:
    def test_the_same_bytes_give_the_same_text(self):
        assert to_c(model("conv_gru", int8=True)) == to_c(model("conv_gru", int8=True))

    def test_int8_weights_are_stored_as_bytes_and_never_as_floats(self):
        text = to_c(model("dscnn", int8=True)).files["ecm.c"]
        floats = sum(
            int(line.split("[")[1].split("]")[0])
            for line in text.splitlines()
            if line.startswith("static const float")
        )
        assert floats <= 10  # the bounds, scale and shift of the input's normalisation
        assert "static const int8_t" in text

    def test_there_is_no_malloc_and_no_static_memory(self):
        text = to_c(model("conv_gru")).files["ecm.c"]
        assert "malloc" not in text
        assert not [line for line in text.splitlines() if line.startswith("static float ") and ";" in line]

    def test_the_header_names_units_shapes_and_threshold(self):
        header = to_c(model("dscnn")).files["ecm.h"]
        facts = (
            "250 Hz",
            "ECM_SAMPLES 1250",
            "0.4217",
            "5 s",
            "AFIB",
            "Normal",
            "0.5 to 50 Hz",
            "500 samples",
        )
        for fact in facts:
            assert fact in header

    def test_text_of_a_model_file_never_becomes_code(self):
        code = "x */\nint injected; /*"
        named, tensor = (onnx.load_from_string(model("dscnn")) for _ in range(2))
        (entry,) = (one for one in named.metadata_props if one.key == "architecture")
        entry.value = code
        with pytest.raises(ModelError, match="unreadable metadata: architecture: names may have"):
            to_c(named.SerializeToString())
        first, second = tensor.graph.node[:2]
        second.input[0] = first.output[0] = code
        with pytest.raises(ModelError, match="characters that cannot be printed"):
            to_c(tensor.SerializeToString())

    def test_a_full_integer_model_is_refused(self):
        content = quantize_fully(model("tiny_cnn"), segments(10))
        with pytest.raises(ModelError, match=r"a full-integer model; give model\.onnx or model\.int8\.onnx"):
            to_c(content)

    def test_an_operator_that_cannot_be_generated_is_named(self):
        node = helper.make_node("Erf", ["ecg"], ["a"])
        rest = [
            helper.make_node("Flatten", ["a"], ["b"]),
            helper.make_node("Gemm", ["b", "w"], ["logits"]),
        ]
        graph = helper.make_graph(
            [node, *rest],
            "ecm",
            [helper.make_tensor_value_info("ecg", TensorProto.FLOAT, ["batch", 1, LENGTH])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
            [helper.make_tensor("w", TensorProto.FLOAT, [LENGTH, 2], np.ones(2 * LENGTH))],
        )
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        metadata = OnnxMetadata(
            sampling_rate_hz=250, classes=("Normal", "AFIB"), threshold=0.5, architecture="x"
        )
        onnx.helper.set_model_props(proto, metadata.to_properties())
        with pytest.raises(ModelError, match="operator Erf is not supported"):
            to_c(proto.SerializeToString())


class TestTools:
    def test_missing_programs_are_named_by_their_package(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("PATH", "")
        assert tools.missing_for_host() == ["gcc", "make"]
        missing = tools.missing_for_target()
        assert {"gcc-arm-none-eabi", "picolibc-arm-none-eabi", "qemu-system-arm"} <= set(missing)
        assert tools.advice(missing).startswith("apt-get install make ")

    def test_without_tools_a_check_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch):
        sources = to_c(model("dscnn"))
        monkeypatch.setenv("PATH", "")
        checked = check_c(sources)
        assert checked.host_difference is checked.target is None
        assert "qemu-system-arm" in checked.missing_packages

    def test_a_program_that_fails_is_reported_with_its_output(self, tmp_path: Path):
        with pytest.raises(ModelError, match="No rule to make target"):
            tools.run(["make", "nothing"], tmp_path)
