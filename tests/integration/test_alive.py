"""Workers register, are seen, and what they hold is queued again when they die; on every database."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from functools import partial

import optuna
import pytest
import sqlalchemy
from optuna.trial import TrialState

from atml.errors import StorageUnreachable
from atml.service import alive
from atml.service.alive import Registration, WorkerRow, Workers, close_dead_trials
from atml.service.storage.database import Database
from atml.service.storage.workers import WORKERS
from atml.service.studies import create_or_resume
from atml.service.worker import take_trials
from atml.tuning import records, stop
from atml.tuning.processes import this_process
from atml.tuning.progress import progress
from atml.tuning.retry import MOST_DEATHS
from atml.tuning.times import now
from tests.databases import on_both_databases, on_postgres
from tests.waiting import until

WAITING, RUNNING, FAIL = TrialState.WAITING, TrialState.RUNNING, TrialState.FAIL
ELSEWHERE = replace(this_process(), host="another-machine")
GONE = replace(this_process(), pid=2**22 + 1)
PARENT = replace(this_process(), pid=os.getppid(), started=None)


@pytest.fixture(autouse=True)
def _settled(monkeypatch):
    """The tests' server has not run for long."""
    monkeypatch.setattr(alive, "SETTLE_SECONDS", 0.0)


@pytest.fixture
def workers(storage):
    return Workers(storage)


@pytest.fixture
def study(storage, dataset, make_phase1):
    return create_or_resume(storage, make_phase1(), dataset).study


def entry(name="one", **fields):
    given = {"process": this_process(), "number": 3, "device": "cpu", "threads": 1, **fields}
    return WorkerRow(worker=name, **given)


def age(storage, seconds):
    """Make all rows older."""
    with storage.engine.begin() as connection:
        connection.execute(
            sqlalchemy.text("UPDATE atml_workers SET seen = seen - :seconds"), {"seconds": seconds}
        )


def hold(study, make_trial, process, *, seconds=0.0):
    """Add a trial that a process has been training for that long."""
    trial = make_trial(state=RUNNING, **({} if process is None else {"worker": process.to_dict()}))
    trial.datetime_start = now() - timedelta(seconds=seconds)
    study.add_trial(trial)


@on_both_databases
class TestWorkers:
    def test_a_registered_worker_is_seen_with_all_it_told(self, workers):
        workers.beat(entry(study="first"))
        (seen,) = workers.all()
        assert replace(seen, last_seen_seconds=0.0) == entry(study="first")
        assert seen.last_seen_seconds < 50
        assert not seen.is_lost

    def test_it_has_one_row_however_often_it_is_renewed(self, workers):
        workers.beat(entry(study="first"))
        workers.beat(entry(study=None))
        assert [seen.study for seen in workers.all()] == [None]

    def test_it_is_gone_when_it_leaves(self, workers):
        workers.beat(entry("one"))
        workers.beat(entry("two"))
        workers.leave("one")
        assert [seen.worker for seen in workers.all()] == ["two"]

    def test_silence_makes_it_lost_and_then_it_is_not_shown(self, workers, storage):
        workers.beat(entry())
        age(storage, alive.LOST_SECONDS)
        (seen,) = workers.all()
        assert seen.is_lost
        age(storage, alive.KEPT_SECONDS)
        assert workers.all() == []

    def test_rows_of_long_ago_are_deleted(self, workers, storage):
        workers.beat(entry("old"))
        age(storage, alive.KEPT_SECONDS + 1)
        workers.beat(entry("new"))
        with storage.engine.begin() as connection:
            assert connection.execute(sqlalchemy.select(WORKERS.c.worker)).scalars().all() == ["new"]

    def test_a_killed_process_of_this_machine_is_lost_at_once(self, workers):
        workers.beat(entry(process=GONE))
        assert workers.all()[0].is_lost

    def test_databases_made_before_there_were_workers_get_the_table(self, workers, storage):
        with storage.engine.begin() as connection:
            connection.execute(sqlalchemy.text("DROP TABLE atml_workers"))
        for _ in range(2):
            WORKERS.create(storage.engine, checkfirst=True)
        assert workers.all() == []


class TestRegistration:
    @pytest.fixture
    def registration(self, workers):
        return Registration(workers, number=3, device="cpu", threads=1)

    @on_both_databases
    def test_a_worker_is_registered_from_beginning_to_end_and_at_the_study_it_serves(
        self, registration, workers
    ):
        def studies():
            return [seen.study for seen in workers.all()]

        with registration:
            assert studies() == [None]
            with registration.at("first"):
                assert studies() == ["first"]
            assert studies() == [None]
        assert studies() == []

    def test_its_row_is_renewed(self, registration, workers, storage, monkeypatch):
        monkeypatch.setattr(alive, "HEARTBEAT_SECONDS", 0.05)
        with registration:
            age(storage, 500)
            until(lambda: workers.all()[0].last_seen_seconds < 250)

    @on_postgres
    def test_a_server_that_is_away_is_told_later(self, registration, workers, postgres, monkeypatch):
        monkeypatch.setattr(alive, "HEARTBEAT_SECONDS", 0.2)
        with registration:
            postgres.stop()
            with registration.at("first"):
                postgres.start()
                seen = partial(workers.storage.retry, workers.all)
                until(lambda: [one.study for one in seen()] == ["first"])

    def test_a_worker_that_waits_is_shown_and_a_killed_one_is_lost(self, workers, storage_url):
        command = [sys.executable, "-m", "atml", "worker", "--index", "5", "--device", "cpu"]
        process = subprocess.Popen([*command, "--storage", storage_url], stderr=subprocess.DEVNULL)
        try:
            until(workers.all)
            (seen,) = workers.all()
            assert (seen.process.pid, seen.number) == (process.pid, 5)
            assert not seen.is_lost
        finally:
            process.kill()
            process.wait()
        assert workers.all()[0].is_lost


BEGINS = """
import os, signal, sys
from atml.tuning import records
from atml.tuning.processes import this_process
from atml.tuning.times import now
from atml.service.storage import open_storage
from atml.service.studies import load

stored = load(open_storage(sys.argv[1]), "first")

def objective(trial):
    trial.set_user_attr(records.WORKER, this_process().to_dict())
    if sys.argv[2] == "suggests":
        stored.grid.suggest(trial)
    print("begun", flush=True)
    signal.pause()

stored.study.optimize(objective, n_trials=1)
"""


@on_both_databases
class TestDeadTrials:
    @pytest.mark.parametrize("last_act", ["suggests", "starts"])
    def test_a_trial_of_a_killed_process_is_closed_and_queued_again_once(
        self, storage, storage_url, dataset, make_phase1, last_act
    ):
        stored = create_or_resume(storage, make_phase1(), dataset)
        study, point = stored.study, stored.grid.points[3].params
        study.enqueue_trial(point)
        with subprocess.Popen(
            [sys.executable, "-c", BEGINS, storage_url, last_act], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout.readline() == "begun\n"
            assert close_dead_trials(study).closed == 0  # its process lives
            process.send_signal(signal.SIGKILL)
        assert study.trials[0].state == RUNNING
        checked = close_dead_trials(study)
        assert (checked.closed, checked.queued) == (1, 1)
        assert [trial.state for trial in checked.trials] == [FAIL, WAITING]
        assert close_dead_trials(study).closed == 0
        assert study.trials[-1].system_attrs["fixed_params"] == point
        assert study.trials[-1].user_attrs[records.RETRY_OF] == 0

    def test_a_process_killed_while_it_closes_a_trial_leaves_it_to_the_next(
        self, storage, dataset, make_phase1, monkeypatch
    ):
        stored = create_or_resume(storage, make_phase1(), dataset)
        stored.study.enqueue_trial(stored.grid.points[3].params)
        stored.study.ask().set_user_attr(records.WORKER, GONE.to_dict())

        def be_killed(*_):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Database, "_create_new_trial", be_killed)
            with pytest.raises(KeyboardInterrupt):
                close_dead_trials(stored.study)
        assert [trial.state for trial in stored.study.trials] == [RUNNING]
        assert close_dead_trials(stored.study).queued == 1
        assert [trial.state for trial in stored.study.trials] == [FAIL, WAITING]

    def test_a_trial_that_keeps_killing_its_workers_is_ended_for_good(
        self, storage, dataset, make_phase1, make_trial
    ):
        stored = create_or_resume(storage, make_phase1(), dataset)
        params = stored.grid.points[3].params
        stored.study.enqueue_trial(params, user_attrs={records.DEATHS: MOST_DEATHS})
        trial = stored.study.ask(stored.grid.space())
        trial.set_user_attr(records.WORKER, GONE.to_dict())
        checked = close_dead_trials(stored.study)
        assert (checked.closed, checked.queued) == (1, 0)
        (closed,) = checked.trials
        assert (closed.state, closed.user_attrs[records.PRUNED_BY]) == (TrialState.PRUNED, "error")
        assert "died 9 times" in closed.user_attrs[records.PRUNED_BECAUSE]
        standings = stored.phase.standings(stored.grid, stored.study.trials)
        assert standings.closed[stored.grid.index[stored.grid.points[3].key]]

    def test_before_it_is_closed_it_is_shown_as_failed_and_its_time_does_not_count(
        self, storage, workers, dataset, make_phase1, make_trial
    ):
        stored = create_or_resume(storage, make_phase1(), dataset)
        workers.beat(entry(process=ELSEWHERE))
        hold(stored.study, make_trial, ELSEWHERE, seconds=3600)
        assert progress(stored.snapshot()).spent.seconds > 3500
        hold(stored.study, make_trial, GONE, seconds=7200)
        age(storage, 3600)
        found = progress(stored.snapshot())
        assert (found.spent.running, found.spent.seconds, found.running) == (0, 0, ())
        assert [trial.state for trial in stored.study.trials] == [RUNNING, RUNNING]

    @pytest.mark.parametrize(
        ("process", "silent_seconds", "closed"),
        [
            (ELSEWHERE, 0, 0),
            (ELSEWHERE, 3600, 1),
            (PARENT, 3600, 0),  # the process table knows that it lives
        ],
    )
    def test_a_worker_elsewhere_is_dead_when_it_has_been_silent(
        self, study, storage, workers, make_trial, process, silent_seconds, closed
    ):
        workers.beat(entry(process=process))
        age(storage, silent_seconds)
        hold(study, make_trial, process, seconds=7200)
        checked = close_dead_trials(study)
        assert (checked.closed, checked.is_certain) == (closed, True)

    @pytest.mark.parametrize(
        ("process", "seconds", "closed"),
        [
            (PARENT, 3600, 0),  # it lives, and need not be a worker
            (this_process(), 5, 1),  # which trains nothing now
            (ELSEWHERE, 5, 0),
            (ELSEWHERE, 3600, 1),  # it has left
            (None, 5, 0),  # it is about to name itself
            (None, 3600, 1),
        ],
    )
    def test_a_process_that_is_not_registered_is_dead_if_it_cannot_live(
        self, study, make_trial, process, seconds, closed
    ):
        hold(study, make_trial, process, seconds=seconds)
        assert close_dead_trials(study).closed == closed

    def test_after_an_outage_nobody_is_dead_before_everybody_had_time_for_a_heartbeat(
        self, study, storage, workers, make_trial, monkeypatch
    ):
        workers.beat(entry(process=ELSEWHERE))
        age(storage, 3600)
        hold(study, make_trial, ELSEWHERE, seconds=7200)
        monkeypatch.setattr(alive, "SETTLE_SECONDS", 3600.0)

        def fail():
            raise StorageUnreachable("away")

        with pytest.raises(StorageUnreachable):
            storage.once(fail)
        checked = close_dead_trials(study)
        assert (checked.closed, checked.is_certain) == (0, False)
        monkeypatch.setattr(alive, "SETTLE_SECONDS", 0.0)
        assert close_dead_trials(study).closed == 1

    def test_an_hour_that_a_dead_trial_seemed_to_run_does_not_end_a_study_of_minutes(
        self, storage, workers, dataset, make_phase1, make_trial
    ):
        phase = make_phase1(budget={"trials": None, "minutes": 14})
        stored = create_or_resume(storage, phase, dataset)
        workers.beat(entry(process=ELSEWHERE))
        age(storage, 3600)
        hold(stored.study, make_trial, ELSEWHERE, seconds=3600)
        begun = []

        def objective(trial):
            begun.append(trial.number)
            return 0.5

        take_trials(stored, objective, leave=lambda: bool(begun))
        assert begun
        assert stop.read(stored.study) is None


IN_ANOTHER_ZONE = """
import sys
import optuna
from optuna.trial import TrialState, create_trial
from atml.service.alive import close_dead_trials
from atml.service.storage import open_storage
from atml.tuning.budget import active_seconds
from atml.tuning.times import now

storage = open_storage(sys.argv[1])
study = optuna.load_study(study_name="first", storage=storage)
print(active_seconds(study.trials[:1], now()), close_dead_trials(study).closed)
storage.start_trial(study._study_id, create_trial(state=TrialState.RUNNING))
"""


@on_both_databases
@pytest.mark.parametrize("zone", ["EST5", "JST-9"])
def test_processes_in_other_time_zones_agree_on_how_long_a_trial_has_run(
    study, storage_url, make_trial, zone
):
    hold(study, make_trial, this_process(), seconds=7200)
    hold(study, make_trial, None, seconds=-1800)  # its worker has not named itself yet; far from lost
    command = [sys.executable, "-c", IN_ANOTHER_ZONE, storage_url]
    run = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "TZ": zone})
    seconds, closed = run.stdout.split()
    assert float(seconds) == pytest.approx(7200, abs=1800)  # a zone is hours away
    assert closed == "0"
    started = study.trials[-1].datetime_start
    assert (now() - started).total_seconds() == pytest.approx(0, abs=1800)


@on_postgres
def test_after_a_start_of_the_server_silent_workers_are_given_time(
    study, storage, workers, make_trial, monkeypatch
):
    monkeypatch.setattr(alive, "SETTLE_SECONDS", 1e8)
    workers.beat(entry(process=ELSEWHERE))
    age(storage, 3600)
    hold(study, make_trial, ELSEWHERE, seconds=7200)
    checked = close_dead_trials(study)
    assert (checked.closed, checked.is_certain) == (0, False)


def test_a_storage_of_others_keeps_no_workers(make_trial):
    study = optuna.create_study()
    hold(study, make_trial, ELSEWHERE)
    with pytest.raises(TypeError, match="keeps no workers"):
        close_dead_trials(study)
