"""Disks that are full or read-only in the middle of a trial: said in one sentence, and nothing is lost."""

import contextlib
import os
import subprocess
import sys
import threading
import time

import optuna
import pytest
from optuna.trial import TrialState

from atml.service import serving
from atml.service.signals import LeaveOnSignal
from atml.service.storage import open_storage
from atml.service.studies import create_or_resume
from atml.tuning import records, stop
from tests.disks import small_disk
from tests.inprocess import worker_settings
from tests.waiting import PATIENCE_SECONDS

RUNNING, FAIL, WAITING = TrialState.RUNNING, TrialState.FAIL, TrialState.WAITING

SPEC = """
phase = "architecture"
name = "study"
data = { folds = 2 }
[search]
architectures = ["optimized_afnet"]
sizes = [12_000]
learning_rate = { low = 1e-3, high = 1e-1, steps = 5 }
[training]
epochs = 25  # long enough for a disk to fail within
segments_per_epoch = 160
batch_size = 64
[pruning]
neighbourhood = { threshold = 0.0 }
race_chance = 0.0
startup_trials = 99
[budget]
trials = 2
"""


@pytest.fixture
def place(tmp_path, simulated):
    """A folder with a spec, in which artifacts and database may be put on disks of their own."""
    return Place(tmp_path, simulated)


class Place:
    def __init__(self, folder, train):
        self.folder = folder
        self.artifacts = folder / "artifacts"
        self.database = folder / "database"
        self.database.mkdir()
        self.url = f"sqlite:///{self.database / 'atml.db'}"
        (folder / "spec.toml").write_text(SPEC)
        self.search = ["search", "spec.toml", "--train", train, "--workers", 1, "--device", "cpu"]
        self.submit = ["submit", "spec.toml", "--train", train]

    def start(self, *arguments):
        return subprocess.Popen(
            [sys.executable, "-m", "atml", *map(str, arguments)],
            cwd=self.folder,
            env={**os.environ, "ATML_STORAGE": self.url, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, process, code):
        """Wait for the end of a command and return what it said: never a traceback, nor a worker in vain."""
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == code, said
        for text in (said, *(log.read_text() for log in self.artifacts.rglob("worker-*.log"))):
            assert "Traceback" not in text
        assert "restarting in" not in said
        return said

    def trials(self):
        storage = open_storage(self.url)
        try:
            return optuna.load_study(study_name="study", storage=storage).trials
        except KeyError:
            return []
        finally:
            storage.engine.dispose()

    def wait_for_an_epoch(self, process):
        """Wait until a trial is under way that has its first checkpoint."""
        due = time.monotonic() + PATIENCE_SECONDS
        while not list(self.artifacts.glob("study/checkpoints/*.pt")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < due
            time.sleep(0.01)

    def unfinished_files(self):
        return [path for path in self.artifacts.rglob(".*") if path.is_file()]


def the_error(said):
    """Return the one sentence of a command that failed."""
    (line,) = [line for line in said.splitlines() if line.startswith("Error: ")]
    assert said.rstrip().endswith(line)
    assert line.endswith(", then run the same command again.")
    return line


def assert_interrupted_and_queued_again(trials):
    (failed,) = [trial for trial in trials if trial.state == FAIL]
    assert trials[-1].state == WAITING
    assert trials[-1].user_attrs[records.RETRY_OF] == failed.number
    assert RUNNING not in {trial.state for trial in trials}
    assert records.trained(trials) == []
    return failed


def assert_completed(trials, failed):
    """The budget is exact, and the interrupted trial went on from its last epoch."""
    assert len(records.trained(trials)) == 2
    assert not {RUNNING, WAITING} & {trial.state for trial in trials}
    (again,) = [trial for trial in trials if trial.user_attrs.get(records.RETRY_OF) == failed.number]
    *begun, _lost = records.curve(failed)  # the epoch whose checkpoint could not be kept
    assert begun
    # A fold that was finished is not trained again, and its epochs not told again if the next had none.
    assert [epoch for epoch in begun if epoch not in records.curve(again)] in ([], begun)
    assert records.folds(failed) or begun == records.curve(again)[: len(begun)]
    for trial in records.completed(trials):
        assert records.estimate(trial).folds == 2
        assert len(records.curve(trial)) in (25, 50)


class TestArtifacts:
    def test_a_full_disk_ends_a_search_in_one_sentence_and_the_same_command_goes_on(self, place):
        with small_disk(place.artifacts, mebibytes=8) as disk:
            searching = place.start(*place.search)
            place.wait_for_an_epoch(searching)
            with disk.full():
                error = the_error(place.finish(searching, code=1))
                assert "cannot write artifacts/study/checkpoints/" in error
                assert "its disk is full; make room there" in error
                assert place.unfinished_files() == []
                failed = assert_interrupted_and_queued_again(place.trials())
                refused = the_error(place.finish(place.start(*place.search), code=1))
                assert "its disk is full" in refused
                assert len(place.trials()) == 2  # no trial was begun in vain
            place.finish(place.start(*place.search), code=0)
            assert_completed(place.trials(), failed)

    def test_a_disk_that_becomes_read_only_ends_a_worker_in_one_sentence(self, place):
        with small_disk(place.artifacts, mebibytes=8) as disk:
            place.finish(place.start(*place.submit), code=0)
            working = place.start("worker", "study", "--device", "cpu")
            place.wait_for_an_epoch(working)
            with disk.read_only():
                error = the_error(place.finish(working, code=1))
                assert "cannot write artifacts/study/checkpoints/" in error
                assert "its disk is read-only; grant write access" in error
                failed = assert_interrupted_and_queued_again(place.trials())
            assert place.unfinished_files() == []
            place.finish(place.start("worker", "study", "--device", "cpu"), code=0)
            assert_completed(place.trials(), failed)


def test_a_database_without_room_ends_a_search_in_one_sentence_and_the_same_command_goes_on(place):
    with small_disk(place.database, mebibytes=4) as disk:
        searching = place.start(*place.search)
        place.wait_for_an_epoch(searching)
        with disk.full():
            error = the_error(place.finish(searching, code=1))
            assert f"cannot write {place.url}: its disk is full" in error
        assert len(records.trained(place.trials())) < 2
        place.finish(place.start(*place.search), code=0)
        trials = place.trials()
        assert len(records.trained(trials)) == 2
        assert not {RUNNING, WAITING} & {trial.state for trial in trials}


def test_a_worker_that_serves_all_studies_says_it_waits_and_goes_on(
    storage, dataset, make_phase1, tmp_path, monkeypatch
):
    monkeypatch.setattr(serving, "RETRY_SECONDS", 0.2)
    phase = make_phase1(training={"epochs": 25}, budget={"trials": 2})
    study = create_or_resume(storage, phase, dataset).study
    artifacts = tmp_path / "artifacts"
    said = []

    class WhenOver(LeaveOnSignal):
        def requested(self):
            return stop.read(study) is not None

    with small_disk(artifacts, mebibytes=8) as disk, contextlib.ExitStack() as fullness:

        def fill_in_mid_trial():
            while not list(artifacts.glob("*/checkpoints/*.pt")):
                time.sleep(0.01)
            fullness.enter_context(disk.full())

        def say(text):
            said.append(text)
            if len(said) == 4:  # joined, full, joined, still full
                fullness.close()

        filling = threading.Thread(target=fill_in_mid_trial)
        filling.start()
        with worker_settings(storage, artifacts, WhenOver()) as settings:
            serving.serve(storage, settings, say=say)
        filling.join()
    assert said[0] == said[2] == "first: joined"
    for text in (said[1], said[3]):
        assert text.startswith(f"cannot write {artifacts}")
        assert text.endswith(": its disk is full; make room there; trying again in 0 s")
    (failed,) = [trial for trial in study.trials if trial.state == FAIL]
    assert_completed(study.trials, failed)
