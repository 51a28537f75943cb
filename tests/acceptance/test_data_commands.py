"""`atml data check`, `atml data audit` and `atml data simulate` as a user types them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from atml.ecg import simulate
from tests.waiting import PATIENCE_SECONDS

ATML = [sys.executable, "-m", "atml", "data"]
Call = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "ATML_CACHE": str(tmp_path / "cache")}


@pytest.fixture
def simulated(tmp_path: Path, environment: dict[str, str]) -> Path:
    directory = tmp_path / "simulated"
    done = atml(environment, "simulate", str(directory), "--subjects", "3", "--segments", "6")
    assert done.returncode == 0, done.stderr
    return directory


def atml(environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*ATML, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )


class TestSimulate:
    def test_result_is_on_standard_output_and_says_it_is_simulated(
        self, tmp_path: Path, environment: dict[str, str]
    ) -> None:
        done = atml(environment, "simulate", str(tmp_path / "new"), "--subjects", "2", "--segments", "3")
        assert done.returncode == 0
        assert "6 simulated segments of 2 subjects" in done.stdout
        assert len(list((tmp_path / "new").glob("S*.txt"))) == 6

    def test_json_is_one_object(self, tmp_path: Path, environment: dict[str, str]) -> None:
        where = str(tmp_path / "new")
        done = atml(environment, "simulate", where, "--subjects", "1", "--segments", "4", "--json")
        assert json.loads(done.stdout)["segments"] == 4

    def test_directory_with_files_is_refused_in_one_message(
        self, simulated: Path, environment: dict[str, str]
    ) -> None:
        done = atml(environment, "simulate", str(simulated))
        assert done.returncode == 1
        assert done.stdout == ""
        assert "is not an empty directory" in done.stderr
        assert "Traceback" not in done.stderr

    def test_senseless_number_is_a_usage_error(self, tmp_path: Path, environment: dict[str, str]) -> None:
        assert atml(environment, "simulate", str(tmp_path / "a"), "--subjects", "0").returncode == 2


class TestCheck:
    def test_sound_directory_is_counted_by_subject_and_rhythm(
        self, simulated: Path, environment: dict[str, str]
    ) -> None:
        done = atml(environment, "check", str(simulated))
        assert done.returncode == 0
        lines = done.stdout.splitlines()
        assert "18 segments of 3 subjects, 1,250 samples each" in lines[0]
        (header,) = (line for line in lines if line.startswith("subject"))
        assert {"AFIB", "N", "total"} <= set(header.split())
        assert [line.split()[0] for line in lines if line.startswith("S")] == ["S0", "S1", "S2"]
        assert next(line for line in lines if line.startswith("total")).split()[-1] == "18"
        assert "0 problems." in lines

    def test_every_problem_is_listed_and_the_status_is_one(
        self, simulated: Path, environment: dict[str, str]
    ) -> None:
        (simulated / "S0-N-90.txt").write_text("")
        (simulated / "S0-N-91.txt").write_text("0.5\n" * 700)
        (simulated / "S0-N-92.txt").write_text("0.5\n" * 700 + "?\n" + "0.5\n" * 549)
        (simulated / "S0-92.txt").write_text("0.5\n" * 1250)
        first = atml(environment, "check", str(simulated))
        assert first.returncode == 1
        assert "4 problems:" in first.stdout
        for place in ("S0-92.txt: ", "S0-N-90.txt:1: ", "S0-N-91.txt:700: ", "S0-N-92.txt:701: "):
            assert place in first.stdout
        assert "Traceback" not in first.stderr
        assert atml(environment, "check", str(simulated)).stdout == first.stdout

    def test_json_holds_counts_and_problems(self, simulated: Path, environment: dict[str, str]) -> None:
        (simulated / "S9-N-0.txt").write_text("nan\n")
        done = atml(environment, "check", str(simulated), "--json")
        assert done.returncode == 1
        report = json.loads(done.stdout)
        assert report["segments"] == 18
        assert sum(report["counts"]["S0"].values()) == 6
        (problem,) = report["problems"]
        assert (problem["file"], problem["line"]) == ("S9-N-0.txt", 1)

    @pytest.mark.parametrize("name", ["nowhere", "empty"])
    def test_nothing_to_check_is_one_message(
        self, name: str, tmp_path: Path, environment: dict[str, str]
    ) -> None:
        (tmp_path / "empty").mkdir()
        done = atml(environment, "check", str(tmp_path / name))
        assert done.returncode == 1
        assert name in done.stderr
        assert "Traceback" not in done.stderr

    def test_interrupt_ends_at_once_and_leaves_nothing_half_done(
        self, tmp_path: Path, environment: dict[str, str]
    ) -> None:
        directory = tmp_path / "many"
        directory.mkdir()
        for index in range(4_000):
            (directory / f"S0-N-{index}.txt").write_text("0.25\n" * 800)
        process = subprocess.Popen(
            [*ATML, "check", str(directory)],
            env=environment,
            # A background job ignores SIGINT, and so would what it starts.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        due = time.monotonic() + PATIENCE_SECONDS
        while not list(tmp_path.glob("cache/segments/*/.*.tmp")):
            assert time.monotonic() < due
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 130
        assert "Traceback" not in errors
        assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
        assert atml(environment, "check", str(directory)).returncode == 0


class TestAudit:
    @pytest.fixture
    def recorded(self, tmp_path: Path) -> Path:
        """Segments short enough to train on in a moment."""
        return simulate(tmp_path / "in", subjects=6, segments_per_subject=10, segment_length=250).directory

    def test_an_interrupted_audit_goes_on_and_ends_with_a_table_a_list_or_one_document(
        self, recorded: Path, tmp_path: Path, environment: dict[str, str], call: Call
    ) -> None:
        out = tmp_path / "out"
        brief = ["--quick", "--folds", "3", "--workers", "2", "--device", "cpu", "--confidence", "0.5"]
        command = ["data", "audit", str(recorded), "--out", str(out), *brief]
        process = subprocess.Popen(
            [*ATML[:-1], *command],
            env=environment,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            stderr=subprocess.PIPE,
            text=True,
        )
        due = time.monotonic() + PATIENCE_SECONDS
        while not (first := list(out.glob("fits/*.pt"))):
            assert process.poll() is None
            assert time.monotonic() < due
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 130
        assert "Run the same command again" in errors
        assert not (out / "audit.csv").exists()
        before = first[0].stat().st_mtime_ns

        done = call(tmp_path, *command)
        assert done.returncode == 0, done.stderr
        assert first[0].stat().st_mtime_ns == before
        assert "suspicious labels by subject" in done.stdout
        (total,) = (line for line in done.stdout.splitlines() if line.split()[1:2] == ["total"])
        assert "60" in total.split()
        assert str(out / "audit.csv") in done.stdout.splitlines()

        document = json.loads(call(tmp_path, *command, "--json").stdout)
        assert (document["segments"], document["csv"]) == (60, str(out / "audit.csv"))
        lines = (out / "audit.csv").read_text().splitlines()
        assert len(lines) == 1 + len(document["suspicious"])
        assert all(Path(page).exists() for page in document["pages"])
        assert len(document["subjects"]) == 6

    @pytest.mark.parametrize("name", ["nowhere", "empty"])
    def test_no_segments_are_one_message_and_no_folder(self, name: str, tmp_path: Path, call: Call) -> None:
        (tmp_path / "empty").mkdir()
        done = call(tmp_path, "data", "audit", name, "--out", "out")
        assert (done.returncode, done.stdout) == (1, "")
        assert name in done.stderr
        assert not (tmp_path / "out").exists()

    def test_a_folder_that_cannot_be_made_is_one_message(
        self, recorded: Path, tmp_path: Path, call: Call
    ) -> None:
        (tmp_path / "file").touch()
        done = call(tmp_path, "data", "audit", recorded, "--folds", "2", "--out", "file")
        assert (done.returncode, done.stdout) == (1, "")
        assert "Error: cannot write file" in done.stderr

    @pytest.mark.parametrize("option", [("--confidence", "0.4"), ("--confidence", "nan"), ("--folds", "1")])
    def test_a_senseless_number_is_a_usage_error(
        self, option: tuple[str, str], tmp_path: Path, call: Call
    ) -> None:
        assert call(tmp_path, "data", "audit", "nowhere", *option).returncode == 2


@pytest.mark.parametrize("command", ["audit", "check", "simulate"])
def test_help_shows_an_example(command: str, environment: dict[str, str]) -> None:
    done = atml(environment, command, "--help")
    assert done.returncode == 0
    assert f"atml data {command} data/" in done.stdout
