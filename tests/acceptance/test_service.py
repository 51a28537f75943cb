"""Idle workers serve whatever is submitted, on SQLite, on PostgreSQL and through PgBouncer."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.databases import on_every_storage
from tests.waiting import PATIENCE_SECONDS

PHASE1 = """
phase = "architecture"
name = "{name}"
data = {{ folds = 2 }}
[search]
architectures = ["optimized_afnet"]
sizes = [12_000]
learning_rate = {{ low = 1e-2, high = 1e-1, steps = 5 }}
[training]
epochs = {epochs}
segments_per_epoch = 160
batch_size = 64
[pruning]
neighbourhood = {{ threshold = 0.0 }}
race_chance = 0.0
startup_trials = 99
[budget]
trials = {trials}
"""

PHASE2 = """
phase = "width"
name = "{name}"
base = {{ study = "{base}" }}
data = {{ folds = 2 }}
search = {{ sizes = [6_000, 12_000], learning_rate = {{ low = 1e-2, high = 1e-1, steps = 3 }} }}
training = {{ epochs = 2, segments_per_epoch = 160, batch_size = 64 }}
pruning = {{ neighbourhood = {{ threshold = 0.0 }}, race_chance = 0.0, startup_trials = 99 }}
budget = {{ trials = 3 }}
"""


class Service:
    """`atml` in a folder of its own, on a shared storage."""

    def __init__(self, folder, segments, storage_url, call):
        self.folder, self.segments, self.storage_url, self.call = folder, segments, storage_url, call
        self.environment = {**os.environ, "ATML_STORAGE": storage_url, "OMP_NUM_THREADS": "1"}
        self.workers = []

    def atml(self, *arguments, code=0):
        if self.storage_url.startswith("sqlite"):
            done = self.call(self.folder, *arguments, environment={"ATML_STORAGE": self.storage_url})
        else:  # whose connections live as long as the process
            command = [sys.executable, "-m", "atml", *map(str, arguments)]
            done = subprocess.run(
                command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
            )
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    def submit(self, text, code=0, **fields):
        path = self.folder / f"{fields['name']}.toml"
        path.write_text(text.format(**fields))
        return self.atml("submit", path, "--train", self.segments, code=code)

    def start_worker(self, index):
        command = [sys.executable, "-m", "atml", "worker", "--index", str(index), "--device", "cpu"]
        with (self.folder / f"worker-{index}.log").open("w") as log:
            worker = subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=log, stderr=log)
        self.workers.append(worker)
        return worker

    def document(self):
        """Return what `atml status --json` says, after a look at whether it can be true."""
        document = json.loads(self.atml("status", "--json"))
        check_status(document, {worker.pid for worker in self.workers})
        return document

    def status(self):
        return {one["study"]: one for one in self.document()["studies"]}

    def wait_for(self, condition):
        due = time.monotonic() + PATIENCE_SECONDS
        while not condition(studies := self.status()):
            logs = [path.read_text() for path in self.folder.glob("worker-*.log")]
            assert time.monotonic() < due, (studies, logs)
            assert all(worker.poll() is None for worker in self.workers), logs
            time.sleep(0.5)

    def end(self):
        for worker in self.workers:
            worker.kill()
            worker.wait()


@pytest.fixture
def service(tmp_path, simulated, storage_url, call):
    service = Service(tmp_path, simulated, storage_url, call)
    yield service
    service.end()


def check_status(document, pids):
    """Make sure that all that is said of studies and workers can be true together."""
    studies = {one["study"]: one for one in document["studies"]}
    for study in studies.values():
        assert study["spent"]["running"] == len(study["running"])
        assert study["spent"]["trained"] <= study["budget"]["trials"]
        if (study["stopped"] or {}).get("by") == "budget":
            assert study["spent"]["trained"] == study["budget"]["trials"]
        if study["waits_for"]:
            assert study["spent"]["trained"] == study["spent"]["running"] == 0
    for worker in document["workers"]:
        assert worker["pid"] in pids
        assert worker["last_seen_seconds"] < 60
        assert not worker["lost"]
        if worker["trial"] is not None:
            held = {trial["number"]: trial["pid"] for trial in studies[worker["study"]]["running"]}
            assert held[worker["trial"]] == worker["pid"]


def is_done(study):
    return study["stopped"] is not None and not study["running"]


@on_every_storage
def test_three_studies_submitted_to_two_idle_workers_all_finish_with_exact_budgets(service):
    assert "submitted" in service.submit(PHASE1, name="first", epochs=2, trials=4)
    assert "it waits for first" in service.submit(PHASE2, name="second", base="first")
    first, second = service.start_worker(0), service.start_worker(1)
    service.submit(PHASE1, name="third", epochs=2, trials=3)
    service.wait_for(lambda studies: all(is_done(study) for study in studies.values()))
    studies = service.status()
    assert {name: study["spent"]["trained"] for name, study in studies.items()} == {
        "first": 4,
        "second": 3,
        "third": 3,
    }
    assert studies["second"]["ranking"][0]["architecture"] == studies["first"]["best"]["architecture"]
    assert {worker["number"]: worker["pid"] for worker in service.document()["workers"]} == {
        0: first.pid,
        1: second.pid,
    }
    for worker in (first, second):
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=PATIENCE_SECONDS) == 130
    assert service.document()["workers"] == []


def test_a_stopped_study_is_left_alone_and_goes_on_after_resume(service):
    service.submit(PHASE1, name="long", epochs=300, trials=2)
    service.start_worker(0)
    service.wait_for(lambda studies: any(trial["epoch"] for trial in studies["long"]["running"]))
    service.atml("stop", "long")
    service.wait_for(lambda studies: is_done(studies["long"]))
    left = service.status()["long"]
    assert left["stopped"]["by"] == "user"
    service.submit(PHASE1, name="short", epochs=1, trials=1)
    service.wait_for(lambda studies: is_done(studies["short"]))  # the worker is free for others
    assert service.status()["long"]["spent"] == left["spent"]
    service.atml("resume", "long")
    service.wait_for(lambda studies: studies["long"]["running"])
    service.atml("stop", "long")
    service.wait_for(lambda studies: is_done(studies["long"]))
    service.submit(PHASE1, name="long", epochs=300, trials=2)
    service.wait_for(lambda studies: studies["long"]["running"])
    # What was trained before the stop is not trained again.
    assert service.status()["long"]["stopped"] is None


def test_a_study_whose_data_differ_here_is_named_and_passed_over(service, tmp_path, simulated_test):
    service.submit(PHASE1, name="study", epochs=1, trials=1)
    elsewhere = ["worker", "study", "--train", simulated_test, "--device", "cpu"]
    refusal = service.atml(*elsewhere, code=1)
    assert "other data" in refusal
    assert refusal.count("fingerprint") == 2


def test_an_ended_study_is_not_resumed_but_told_how_to_extend(service):
    service.submit(PHASE1, name="brief", epochs=1, trials=1)
    told = service.atml("worker", "brief", "--device", "cpu")
    assert told.endswith("brief: left, since the budget of 1 trial is spent\n")
    assert "--extend" in service.atml("resume", "brief", code=1)
    assert "--extend" in service.submit(PHASE1, name="brief", epochs=1, trials=1, code=1)
