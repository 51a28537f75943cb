"""Commands as a user types them, in a folder of their own with segments and specs."""

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from sqlalchemy.exc import SQLAlchemyError

from atml.cli.main import main
from tests.waiting import PATIENCE_SECONDS

PHASE1 = """
phase = "architecture"
name = "first"
[data]
folds = 2
[search]
architectures = ["optimized_afnet"]
sizes = [12_000]
learning_rate = { low = 1e-3, high = 1e-1, steps = 5 }
[training]
epochs = 100  # long enough to be interrupted within
segments_per_epoch = 160
batch_size = 64
[pruning]
neighbourhood = { threshold = 0.0 }
race_chance = 0.0
[budget]
trials = 1
"""

PHASE2 = """
phase = "width"
name = "second"
base = { study = "first" }
search = { sizes = [6_000], shapes = [1.0], learning_rate = { low = 1e-2, high = 1e-1, steps = 5 } }
data = { folds = 2 }
training = { epochs = 100, segments_per_epoch = 160, batch_size = 64 }
pruning = { neighbourhood = { threshold = 0.0 }, race_chance = 0.0 }
budget = { trials = 1 }
finalize = { candidates = 1, seeds = 1 }
"""


def call_atml(
    folder: Path, *arguments: object, environment: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Do what `atml` does in `folder`, but within this process: a process takes seconds to start."""
    out, errors, code = io.StringIO(), io.StringIO(), 0
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(errors),
    ):
        patch.setattr(sys, "argv", ["atml", *map(str, arguments)])
        for name, value in (environment or {}).items():
            patch.setenv(name, value)
        try:
            main()
        except SystemExit as exit_:
            code = exit_.code or 0
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), errors.getvalue())


@pytest.fixture
def call() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    return call_atml


class Workplace:
    """A folder with segments and specs, and a shell in it."""

    def __init__(self, folder: Path, train: Path, test: Path) -> None:
        self.folder = folder
        self.train = shutil.copytree(train, folder / "train")
        self.test = shutil.copytree(test, folder / "test")
        for path in sorted(self.test.glob("S12-*.txt"))[:8]:  # a subject in both
            shutil.copy(path, self.train)
        self.write("phase1.toml", PHASE1)
        self.write("phase2.toml", PHASE2)

    def write(self, name: str, content: str) -> Path:
        path = self.folder / name
        path.write_text(content)
        return path

    def start(self, *arguments: object) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "atml", *map(str, arguments)],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a group of its own, as in a terminal
            # A background job ignores SIGINT, and so would what it starts.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def atml(self, *arguments: object) -> "subprocess.CompletedProcess[str]":
        process = self.start(*arguments)
        out, errors = process.communicate(timeout=PATIENCE_SECONDS)
        return subprocess.CompletedProcess(process.args, process.returncode, out, errors)

    def call(self, *arguments: object) -> "subprocess.CompletedProcess[str]":
        """Do what `atml` does, but within this process: a process takes seconds to start."""
        return call_atml(self.folder, *arguments)

    def run_arguments(self) -> list[object]:
        specs = ["--phase1", "phase1.toml", "--phase2", "phase2.toml", "--name", "heart"]
        return ["run", "--train", "train", "--test", "test", *specs, "--workers", 1, "--device", "cpu"]

    def study(self, name: str) -> optuna.Study:
        return optuna.load_study(study_name=name, storage=f"sqlite:///{self.folder / 'atml.db'}")

    def trials(self, name: str) -> list[optuna.trial.FrozenTrial]:
        """Return a study's trials; none while the study is not there."""
        try:
            return self.study(name).trials
        except (KeyError, SQLAlchemyError):
            return []

    @staticmethod
    def ctrl_c(process: "subprocess.Popen[str]") -> None:
        """Do what a terminal does: tell every process of the foreground group."""
        os.killpg(process.pid, signal.SIGINT)

    @staticmethod
    def wait_for(condition: Callable[[], Any], process: "subprocess.Popen[str]") -> None:
        """Wait until something happens in a running command."""
        due = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            if process.poll() is not None or time.monotonic() > due:
                process.kill()
                raise AssertionError(process.communicate())
            time.sleep(0.02)

    def interrupt_when(self, condition: Callable[[], Any], *arguments: object) -> str:
        """Start a command, press Ctrl-C as soon as `condition` holds, and return what it said."""
        process = self.start(*arguments)
        self.wait_for(condition, process)
        self.ctrl_c(process)
        _, errors = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 130, errors
        assert "Traceback" not in errors
        return errors


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory, simulated: Path, simulated_test: Path) -> Workplace:
    return Workplace(tmp_path_factory.mktemp("workplace"), simulated, simulated_test)
