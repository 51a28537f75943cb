"""`atml data check` and `atml data simulate` as a user types them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ATML = [sys.executable, "-m", "atml", "data"]


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
        [*ATML, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=120
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
        due = time.monotonic() + 60
        while not list(tmp_path.glob("cache/segments/*/.*.tmp")):
            assert time.monotonic() < due
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 130
        assert "Traceback" not in errors
        assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
        assert atml(environment, "check", str(directory)).returncode == 0


@pytest.mark.parametrize("command", ["check", "simulate"])
def test_help_shows_an_example(command: str, environment: dict[str, str]) -> None:
    done = atml(environment, command, "--help")
    assert done.returncode == 0
    assert f"atml data {command} data/" in done.stdout
