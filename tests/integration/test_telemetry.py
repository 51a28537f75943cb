"""No dependency reports anything: real processes, each with a home of its own and its network calls noted.

ONNX Runtime reports from C++, where no hook of Python's sees it; a small library under libc does.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIBRARY = Path(__file__).with_name("network_calls.c")
TELEMETRY = "ORT_DISABLE_TELEMETRY"
# ONNX Runtime 1.31 looks Microsoft's host up 9 s after it is imported.
SECONDS_TO_REPORT = 15
PATIENCE_SECONDS = 60

EXPORT_AND_RUN = """
import torch
from atml.export import OnnxClassifier, OnnxMetadata, to_onnx
from atml.models.conv_gru import CONV_GRU

metadata = OnnxMetadata(
    sampling_rate_hz=250,
    classes=("other", "AFIB"),
    threshold=0.5,
    architecture="conv_gru",
)
model = CONV_GRU.build(CONV_GRU.default(), 1250).eval()
classifier = OnnxClassifier(to_onnx(model, segment_length=1250, metadata=metadata))
assert classifier.probabilities(torch.zeros(1, 1250).numpy()).shape == (1,)
"""
SPAWN = """
import multiprocessing
import atml
if __name__ == "__main__":
    child = multiprocessing.get_context("spawn").Process(target=exec, args=("import onnxruntime",))
    child.start()
    child.join()
    assert child.exitcode == 0
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not sys.platform.startswith("linux") or compiler is None:
        pytest.skip("noting network calls needs Linux and a C compiler")
    built = tmp_path_factory.mktemp("library") / "network_calls.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", built, LIBRARY], check=True)
    return built


class Surroundings:
    """A home, with what a process left there, and the network calls that it made."""

    def __init__(self, folder, library):
        self.home = folder / "home"
        self.home.mkdir()
        self._calls = folder / "calls"
        inherited = {name: value for name, value in os.environ.items() if name != TELEMETRY}
        self.environment = {
            **inherited,
            "HOME": str(self.home),
            "XDG_CACHE_HOME": str(self.home / "cache"),
            "PYTHONPATH": str(ROOT),
            "LD_PRELOAD": str(library),
            "NETWORK_CALLS": str(self._calls),
        }

    def run(self, *arguments, **environment):
        subprocess.run(
            [sys.executable, *map(str, arguments)],
            env={**self.environment, **environment},
            check=True,
            capture_output=True,
            text=True,
        )

    @property
    def files(self):
        return sorted(path.name for path in self.home.rglob("*"))

    @property
    def calls(self):
        return self._calls.read_text().splitlines() if self._calls.exists() else []


@pytest.fixture
def surroundings(tmp_path, library):
    return Surroundings(tmp_path, library)


def test_a_process_that_exports_and_runs_a_model_leaves_nothing_and_asks_no_host(surroundings):
    surroundings.run("-c", f"{EXPORT_AND_RUN}\nimport time; time.sleep({SECONDS_TO_REPORT})")
    assert (surroundings.files, surroundings.calls) == ([], [])


@pytest.mark.parametrize("value", ["0", "no", ""])
def test_an_environment_that_leaves_telemetry_on_is_overruled(surroundings, value):
    surroundings.run("-c", "import atml, onnxruntime", **{TELEMETRY: value})
    assert surroundings.files == []


def test_a_command_and_a_spawned_child_leave_nothing(surroundings, tmp_path):
    model = tmp_path / "model.onnx"
    model.write_bytes(b"no model")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        surroundings.run("-m", "atml", "predict", model, LIBRARY)
    assert "is not an ONNX model that can be run" in refused.value.stderr  # ONNX Runtime's answer
    script = tmp_path / "spawn.py"
    script.write_text(SPAWN)
    surroundings.run(script)
    assert (surroundings.files, surroundings.calls) == ([], [])


def test_onnxruntime_by_itself_does_what_these_tests_look_for(surroundings):
    """Else they would pass whatever happened."""
    surroundings.run("-c", "import onnxruntime")
    if not surroundings.files:
        pytest.skip("this ONNX Runtime has no telemetry")
    assert "deviceid" in surroundings.files
    command = [sys.executable, "-c", f"import onnxruntime, time; time.sleep({PATIENCE_SECONDS})"]
    with subprocess.Popen(command, env=surroundings.environment) as process:
        due = time.monotonic() + PATIENCE_SECONDS
        while not surroundings.calls and time.monotonic() < due:
            time.sleep(0.1)
        process.kill()
    assert any(call.startswith("lookup ") and "microsoft" in call for call in surroundings.calls)
