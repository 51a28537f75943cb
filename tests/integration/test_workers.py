"""Worker processes on one database: who trains what, and what happens when they are killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import optuna
import psutil
import pytest
from optuna.trial import TrialState
from optuna_dashboard import get_note

from atml.errors import ModelError, StudyError
from atml.export import to_onnx
from atml.service.alive import close_dead_trials
from atml.service.launcher import WorkerPlan, launch
from atml.service.signals import LeaveOnSignal
from atml.service.studies import create_or_resume
from atml.service.worker import take_trials
from atml.tuning import records, stop
from atml.tuning.budget import spent
from atml.tuning.failures import ENOUGH_ERRORS, ended_by_error
from atml.tuning.grid import key_of
from tests.inprocess import work_here
from tests.waiting import until

FAIL, RUNNING, WAITING = TrialState.FAIL, TrialState.RUNNING, TrialState.WAITING


def fail_in_export(monkeypatch, *names):
    """Let the export of a trained network of these architectures fail."""

    def export(model, *, segment_length, metadata):
        if metadata.architecture in names:
            raise ModelError("no such operator")
        return to_onnx(model, segment_length=segment_length, metadata=metadata)

    monkeypatch.setattr("atml.tuning.fit.to_onnx", export)


class TestWork:
    """One worker within this process."""

    @pytest.fixture
    def run(self, storage, dataset, tmp_path):
        def run(phase, leave=None, **attributes):
            stored = create_or_resume(storage, phase, dataset)
            work_here(storage, stored, tmp_path / "artifacts", leave)
            return stored

        return run

    def test_the_budget_is_spent_to_the_trial_and_the_sign_says_so(self, run, make_phase1):
        study = run(make_phase1(budget={"trials": 3})).study
        assert len(records.trained(study.trials)) == 3
        assert stop.read(study) == stop.Stop(
            by=stop.StoppedBy.BUDGET, because="the budget of 3 trials is spent"
        )

    def test_a_study_that_is_too_short_for_its_first_trial_lets_that_finish_and_ends(
        self, run, storage, dataset, make_phase1
    ):
        phase = make_phase1(budget={"trials": None, "minutes": 1e-6})
        study = run(phase).study
        assert [trial.state for trial in study.trials] == [TrialState.COMPLETE]
        because = "the budget of 1e-06 min is spent"
        assert stop.read(study) == stop.Stop(by=stop.StoppedBy.BUDGET, because=because)

    def test_untrained_trials_cost_no_budget(self, run, storage, dataset, make_phase1):
        phase = make_phase1(budget={"trials": 3})
        stored = create_or_resume(storage, phase, dataset)
        for _ in range(3):  # of them two are duplicates
            stored.study.enqueue_trial(stored.grid.points[0].params)
        study = run(phase).study
        assert len(records.trained(study.trials)) == 3
        assert len(study.trials) == 5

    def test_the_first_trial_that_meets_the_targets_ends_the_study(self, run, make_phase1):
        stored = run(make_phase1(targets={"fbeta": 0.01}))
        sign = stop.read(stored.study)
        assert (sign.by, sign.trial) == (stop.StoppedBy.TARGETS, 0)
        assert len(records.trained(stored.study.trials)) == 1

    def test_a_worker_whose_trial_others_have_closed_meanwhile_goes_on(self, storage, dataset, make_phase1):
        """Its machine was suspended: others took it for dead and queued its trial again."""
        stored = create_or_resume(storage, make_phase1(), dataset)
        begun = []

        def objective(trial):
            begun.append(trial.number)
            stored.study.tell(trial.number, state=FAIL)
            if len(begun) == 1:
                trial.set_user_attr("epoch", 1)
            return 0.5

        take_trials(stored, objective, leave=lambda: len(begun) == 2)
        assert [trial.state for trial in stored.study.trials] == [FAIL, FAIL]

    def test_a_study_extended_while_it_is_worked_on_goes_on_to_the_new_budget(
        self, run, storage, dataset, make_phase1
    ):
        longer = make_phase1(budget={"trials": 3})

        class ExtendsIt(LeaveOnSignal):
            extended = False

            def requested(self):  # asked before each trial and after each epoch
                if not self.extended:
                    self.extended = True
                    create_or_resume(storage, longer, dataset, extend=True)
                return False

        study = run(make_phase1(budget={"trials": 1}), leave=ExtendsIt()).study
        assert len(records.trained(study.trials)) == 3
        assert stop.read(study).because == "the budget of 3 trials is spent"

    def test_a_study_that_does_not_stop_at_its_targets_spends_its_budget(self, run, make_phase1):
        stored = run(make_phase1(targets={"fbeta": 0.01, "stop": False}, budget={"trials": 2}))
        assert stop.read(stored.study).by == stop.StoppedBy.BUDGET
        assert len(records.trained(stored.study.trials)) == 2

    def test_a_size_alone_does_not_end_a_search(self, run, make_phase1):
        stored = run(make_phase1(targets={"onnx_bytes": 1_000_000, "fbeta": None}, budget={"trials": 2}))
        assert stop.read(stored.study).by == stop.StoppedBy.BUDGET

    def test_a_search_whose_every_point_was_tried_ends_before_its_budget(self, run, make_phase1):
        search = {"architectures": ["linear"], "learning_rate": {"steps": 3}}
        study = run(make_phase1(search=search, budget={"trials": 50})).study
        assert len(records.trained(study.trials)) == 3
        assert stop.read(study).by == stop.StoppedBy.SPACE

    def test_trials_that_were_not_trained_do_not_end_a_search(self, run, storage, dataset, make_phase1):
        phase = make_phase1(budget={"trials": 2})
        study = create_or_resume(storage, phase, dataset).study
        killed = optuna.trial.create_trial(state=FAIL)
        by = {records.PRUNED_BY: "duplicate"}
        duplicate = optuna.trial.create_trial(state=TrialState.PRUNED, user_attrs=by)
        study.add_trials([killed, *[duplicate] * 200])
        run(phase)
        assert stop.read(study).by is stop.StoppedBy.BUDGET
        assert len(records.trained(study.trials)) == 2

    def test_a_finished_study_is_left_as_it_is(self, run, make_phase1):
        first = run(make_phase1(budget={"trials": 1})).study
        before = [(trial.number, trial.state, trial.datetime_start) for trial in first.trials]
        again = run(make_phase1(budget={"trials": 1})).study
        assert [(trial.number, trial.state, trial.datetime_start) for trial in again.trials] == before

    def test_a_study_whose_trials_all_end_with_one_error_stops_with_it(self, run, make_phase1, monkeypatch):
        fail_in_export(monkeypatch, "linear", "optimized_afnet")
        phase = make_phase1(budget={"trials": 50}, search={"learning_rate": {"steps": 12}})
        study = run(phase).study
        assert len(study.trials) == ENOUGH_ERRORS
        sign = stop.read(study)
        assert sign.by == stop.StoppedBy.ERRORS
        assert (
            sign.because == "the first 10 trials all ended with the same error: ModelError: no such operator"
        )

    def test_an_architecture_that_cannot_be_exported_does_not_end_the_study(
        self, run, make_phase1, monkeypatch
    ):
        fail_in_export(monkeypatch, "linear")
        study = run(make_phase1(budget={"trials": 8})).study  # of linear, the fastest, there are five
        assert {records.architecture(trial) for trial in ended_by_error(study.trials)} == {"linear"}
        assert records.completed(study.trials)
        assert len(records.trained(study.trials)) == 8
        points = [key_of(trial.params) for trial in study.trials]
        assert len(set(points)) == len(points)
        assert stop.read(study).by == stop.StoppedBy.BUDGET

    def test_asked_to_leave_a_worker_leaves_the_study_open(self, run, make_phase1):
        class AtOnce(LeaveOnSignal):
            def requested(self):
                return True

        study = run(make_phase1(), leave=AtOnce()).study
        assert stop.read(study) is None
        assert study.trials == []

    def test_a_race_on_a_small_grid_ends_once_no_point_may_lead_any_more(self, run, make_phase1):
        search = {"architectures": ["linear", "optimized_afnet"], "learning_rate": {"steps": 3}}
        study = run(make_phase1(search=search, budget={"trials": 50}, pruning={"race_chance": 0.3})).study
        assert stop.read(study).by == stop.StoppedBy.SPACE
        assert records.completed(study.trials)
        folds = {}
        for trial in records.trained(study.trials):
            folds.setdefault(key_of(trial.params), []).extend({epoch.fold for epoch in records.curve(trial)})
        assert len(folds) == 6  # every point has had its first fold
        assert all(sorted(set(trained)) == sorted(trained) for trained in folds.values())  # none twice


@pytest.fixture
def plan(storage_url, tmp_path):
    return lambda **fields: WorkerPlan(
        **{
            "storage": storage_url,
            "artifacts": tmp_path / "artifacts",
            "workers": 1,
            "device": "cpu",
            **fields,
        }
    )


class TestLaunch:
    def test_killed_workers_are_replaced_and_the_budget_is_exact(
        self, storage, storage_url, dataset, make_phase1, plan
    ):
        phase = make_phase1(budget={"trials": 2}, training={"epochs": 40})
        study = create_or_resume(storage, phase, dataset).study
        killed, command_lines, tunables = [], [], []

        def kill_once():
            for trial in study.get_trials(deepcopy=False, states=(RUNNING,)):
                if not killed and records.curve(trial):
                    killed.append(trial.number)
                    pid = trial.user_attrs[records.WORKER]["pid"]
                    command_lines.append(Path(f"/proc/{pid}/cmdline").read_text())
                    tunables.append(psutil.Process(pid).environ()["GLIBC_TUNABLES"])
                    os.kill(pid, signal.SIGKILL)

        said = []
        launch(study, plan(workers=2), on_poll=kill_once, say=said.append)
        assert any("killed by SIGKILL" in text for text in said)
        (dead,) = killed
        assert study.trials[dead].state == FAIL
        assert len(records.trained(study.trials)) == 2
        assert not [trial for trial in study.trials if trial.state == RUNNING]
        retried = [t for t in study.trials if t.user_attrs.get(records.RETRY_OF) == dead]
        assert [trial.params for trial in retried] == [study.trials[dead].params]
        assert records.was_trained(retried[0])
        # Every user of the machine can read a command line, and a URL may hold a password.
        assert not any(storage_url in line for line in command_lines)
        assert tunables[0].startswith("glibc.malloc.hugetlb=1")  # glibc itself cuts the rest off

    def test_workers_find_segments_that_have_moved(
        self, storage, dataset, make_phase1, plan, simulated, tmp_path
    ):
        moved = shutil.copytree(simulated, tmp_path / "moved")
        missing = make_phase1(budget={"trials": 1}, data={"train": str(tmp_path / "missing")})
        study = create_or_resume(storage, missing, dataset).study
        launch(study, plan(train=str(moved)))
        assert len(records.trained(study.trials)) == 1

    def test_a_workers_time_zone_does_not_count_in_the_budget(
        self, storage, dataset, make_phase1, plan, monkeypatch
    ):
        phase = make_phase1(budget={"trials": None, "minutes": 30.0}, training={"epochs": 40})
        stored = create_or_resume(storage, phase, dataset)
        monkeypatch.setenv("TZ", "JST-9")  # of the worker: nine hours later than here
        seconds = []

        def note_the_time():
            at = stored.snapshot()
            if any(trial.state == RUNNING for trial in at.trials):
                seconds.append(spent(at.trials, at.taken).seconds)
                stop.request_stop(stored.study, stop.Stop(by=stop.StoppedBy.USER, because="asked"))

        launch(stored.study, plan(), on_poll=note_the_time)
        assert 0 < seconds[0] < 30 * 60

    def test_the_third_ctrl_c_ends_a_worker_that_does_not_leave(self, storage, dataset, make_phase1, plan):
        phase = make_phase1(training={"epochs": 40})
        stored = create_or_resume(storage, phase, dataset)
        pids = []

        def suspend_and_interrupt():
            workers = (trial.user_attrs.get(records.WORKER) for trial in stored.study.trials)
            if not pids and (found := [worker["pid"] for worker in workers if worker]):
                pids.extend(found)
                os.kill(found[0], signal.SIGSTOP)
                for _ in range(3):
                    os.kill(os.getpid(), signal.SIGINT)

        with pytest.raises(KeyboardInterrupt):
            launch(stored.study, plan(), on_poll=suspend_and_interrupt)
        assert not psutil.pid_exists(pids[0])
        assert [trial.state for trial in close_dead_trials(stored.study).trials] == [FAIL, WAITING]

    def test_a_worker_that_fails_at_once_is_given_up_and_its_log_quoted(self, storage, plan, tmp_path):
        study = optuna.create_study(storage=storage, study_name="foreign")
        with pytest.raises(StudyError) as caught:
            launch(study, plan())
        message = str(caught.value)
        assert "every worker failed" in message
        assert "Error: study 'foreign' has no spec" in message
        log = tmp_path / "artifacts" / "foreign" / "worker-0.log"
        assert log.read_text().count("Error: ") == 3


def _status(process: Path) -> dict[str, str]:
    try:
        lines = (process / "status").read_text().splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


LAUNCH = """
import json, sys
from pathlib import Path
from atml.service.launcher import WorkerPlan, launch
from atml.service.storage import open_storage
from atml.service.studies import load

fields = json.loads(sys.argv[1])
study = load(open_storage(fields["storage"]), "first").study
launch(study, WorkerPlan(**{**fields, "artifacts": Path(fields["artifacts"])}))
"""


def test_workers_leave_when_their_launcher_is_killed(storage, storage_url, dataset, make_phase1, tmp_path):
    phase = make_phase1(training={"epochs": 100_000})
    study = create_or_resume(storage, phase, dataset).study
    fields = {"storage": storage_url, "artifacts": str(tmp_path), "workers": 2}
    launcher = subprocess.Popen([sys.executable, "-c", LAUNCH, json.dumps(fields)])

    def pids():
        running = study.get_trials(deepcopy=False, states=(RUNNING,))
        return {trial.user_attrs[records.WORKER]["pid"] for trial in running if records.curve(trial)}

    until(lambda: len(pids()) == 2)
    workers = pids()
    launcher.kill()
    launcher.wait()
    until(lambda: not any(_is_alive(pid) for pid in workers))
    # They took leave: their trials are closed and queued again.
    assert [trial.state for trial in study.trials] == [FAIL, FAIL, WAITING, WAITING]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in _status(Path(f"/proc/{pid}")).get("State", "")


class TestNote:
    def test_a_worker_that_is_asked_to_leave_brings_the_note_up_to_date(
        self, storage, dataset, make_phase1, tmp_path, monkeypatch
    ):
        monkeypatch.setattr("atml.dashboard.note.LEAST_SECONDS_BETWEEN", 3600.0)
        stored = create_or_resume(storage, make_phase1(), dataset)

        def leave():
            return len(records.trained(stored.study.trials)) == 2

        def objective(trial):
            trial.set_user_attr(records.CURVE, [[0, 0.5, 0.5, 0.5, 1.0]])
            return 0.5

        take_trials(stored, objective, leave=leave)
        assert stop.read(stored.study) is None
        assert "2 trained" in get_note(stored.study)
