"""PostgreSQL that stops and starts again while workers are at work."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from wsgiref.util import setup_testing_defaults

import optuna
import pytest
from optuna.trial import TrialState

from atml.cli.display import StudyDisplay
from atml.dashboard.app import Address, dashboard_app
from atml.errors import CannotWrite, StorageError, StorageUnreachable
from atml.service.alive import Workers, close_dead_trials
from atml.service.artifacts import open_artifacts
from atml.service.launcher import WorkerPlan, launch
from atml.service.storage import open_storage
from atml.service.storage.database import Database
from atml.service.studies import create_or_resume
from atml.service.worker import run_trial, take_trials
from atml.tuning import records
from atml.tuning.objective import TrialInterrupted
from atml.tuning.processes import this_process
from tests.databases import on_postgres
from tests.integration.test_databases import crowd, finish
from tests.waiting import PATIENCE_SECONDS

FAST, CRASH = signal.SIGINT, signal.SIGQUIT
FAIL, WAITING = TrialState.FAIL, TrialState.WAITING


@pytest.fixture
def server(postgres):
    """The server, running again after the test whatever happened."""
    yield postgres
    postgres.stop()
    postgres.start()


@on_postgres
@pytest.mark.parametrize("how", [FAST, CRASH], ids=["stopped", "crashed"])
def test_workers_sit_out_a_restart_and_the_budget_is_exact(
    how, server, storage, storage_url, dataset, make_phase1
):
    phase = make_phase1(
        search={"learning_rate": {"low": 1e-4, "high": 1e-1, "steps": 100}}, budget={"trials": 40}
    )
    study = create_or_resume(storage, phase, dataset).study
    workers = crowd(storage_url, "first", 4, "--seconds", 0.2)
    while len(records.trained(study.trials)) < 8:
        assert workers.poll() is None
        time.sleep(0.05)
    server.stop(how)
    time.sleep(1.5)
    server.start()
    errors = finish(workers)
    assert "does not answer; trying again" in errors
    assert "Traceback" not in errors
    trained = records.trained(study.trials)
    assert len(trained) == 40
    assert len({tuple(sorted(trial.params.items())) for trial in trained}) == 40


@pytest.fixture
def impatient(storage_url):
    opened = open_storage(storage_url, retry_seconds=0.5)
    yield opened
    opened.engine.dispose()


@on_postgres
class TestRetries:
    def test_it_ends_with_one_sentence_and_comes_back_with_the_server(self, server, impatient, storage_url):
        study = optuna.create_study(storage=impatient, study_name="kept")
        server.stop()
        with pytest.raises(StorageUnreachable) as caught:
            study.trials  # noqa: B018
        assert "the database does not answer" in str(caught.value)
        assert server.url().split(":")[2].split("@")[0] not in str(caught.value)
        server.start()
        study.optimize(lambda trial: 1.0, n_trials=1)
        assert [trial.state for trial in study.trials] == [TrialState.COMPLETE]

    def test_a_result_whose_answer_was_lost_is_a_result(self, storage, dataset, make_phase1, monkeypatch):
        stored = create_or_resume(storage, make_phase1(), dataset)
        change, calls = Database.set_trial_state_values, []

        def lose_the_first_answer(*arguments, **options):
            done = change(*arguments, **options)
            calls.append(arguments)
            if len(calls) == 1:
                raise StorageUnreachable("the answer is lost")
            return done

        monkeypatch.setattr(Database, "set_trial_state_values", lose_the_first_answer)
        take_trials(stored, lambda trial: 1.0, leave=lambda: bool(calls))
        assert [trial.state for trial in stored.study.trials] == [TrialState.COMPLETE]

    @pytest.mark.parametrize("how", ["interrupted", "died"])
    def test_a_trial_is_queued_again_once_if_the_answer_to_that_was_lost(
        self, storage, dataset, make_phase1, monkeypatch, how
    ):
        stored = create_or_resume(storage, make_phase1(), dataset)
        stored.study.enqueue_trial(stored.grid.points[3].params)
        transaction, calls = Database.transaction, []

        @contextmanager
        def lose_the_first_answer(database):
            with transaction(database):
                yield
            calls.append(database)
            if len(calls) == 1:
                raise StorageUnreachable("the answer is lost")

        monkeypatch.setattr(Database, "transaction", lose_the_first_answer)
        trial = stored.study.ask()
        if how == "died":
            gone = replace(this_process(), pid=2**22 + 1)
            trial.set_user_attr(records.WORKER, gone.to_dict())
            close_dead_trials(stored.study)
        else:
            assert run_trial(stored.study, trial, interrupted) == FAIL
        assert len(calls) == 1
        assert [trial.state for trial in close_dead_trials(stored.study).trials] == [FAIL, WAITING]

    def test_a_worker_that_goes_on_closes_what_it_could_not_close(
        self, storage, dataset, make_phase1, monkeypatch
    ):
        stored = create_or_resume(storage, make_phase1(), dataset)
        stored.study.enqueue_trial(stored.grid.points[3].params)
        trial = stored.study.ask()
        trial.set_user_attr(records.WORKER, this_process().to_dict())

        @contextmanager
        def full(database):
            raise CannotWrite("full")
            yield

        with monkeypatch.context() as patch:
            patch.setattr(Database, "transaction", full)
            run_trial(stored.study, trial, interrupted)
        assert [trial.state for trial in stored.study.trials] == [TrialState.RUNNING]
        closed, waiting = close_dead_trials(stored.study).trials
        assert (closed.state, waiting.state) == (FAIL, WAITING)
        assert waiting.user_attrs[records.DEATHS] == 0

    def test_asked_to_leave_a_worker_does_not_wait(self, server, storage_url, caplog):
        storage = open_storage(storage_url, retry_seconds=600, give_up=lambda: True)
        server.stop()
        with pytest.raises(StorageUnreachable):
            storage.get_all_studies()
        assert "trying again" not in caplog.text
        server.start()
        storage.engine.dispose()


def interrupted(trial):
    raise TrialInterrupted


OPEN = """
import sys
from atml.service.storage import open_storage
open_storage(sys.argv[1], retry_seconds=60, wait_for_server=True).get_all_studies()
"""


def test_a_worker_waits_for_a_server_that_has_yet_to_start(server):
    server.stop()
    with pytest.raises(StorageError, match="no PostgreSQL server answers"):
        open_storage(server.url())
    worker = subprocess.Popen([sys.executable, "-c", OPEN, server.url()])
    time.sleep(1)
    server.start()
    assert worker.wait(PATIENCE_SECONDS) == 0


@on_postgres
def test_a_worker_whose_server_never_returns_ends_with_that_reason(server, impatient, dataset, make_phase1):
    stored = create_or_resume(impatient, make_phase1(), dataset)

    def lose_the_server(trial):
        server.stop()
        trial.set_user_attr("noted", True)

    with pytest.raises(StorageUnreachable, match="the database does not answer"):
        take_trials(stored, lose_the_server, leave=lambda: False)
    server.start()


@on_postgres
def test_a_display_without_its_server_says_so_once_and_goes_on(
    server, impatient, dataset, make_phase1, capsys
):
    stored = create_or_resume(impatient, make_phase1(), dataset)
    with StudyDisplay(stored) as display:
        display.update()
        server.stop()
        display.update()
        display.update()
        server.start()
        display.update()
    assert capsys.readouterr().err.count("the workers wait for it") == 1


@on_postgres
def test_a_database_that_goes_away_between_two_questions_of_a_status_is_one_sentence(server, impatient):
    workers = Workers(impatient)
    assert impatient.retry(workers.all) == []
    server.stop()
    with pytest.raises(StorageUnreachable, match="the database does not answer"):
        impatient.retry(workers.all)
    server.start()


NO_ROOM = """
CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON study_user_attributes EXECUTE FUNCTION no_room();
CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON studies EXECUTE FUNCTION no_room();
"""
ROOM = "DROP FUNCTION no_room CASCADE"


@on_postgres
class TestFullServer:
    """Reading goes on while nothing can be written."""

    def test_it_is_waited_for_until_there_is_room(self, postgres, storage_url, caplog):
        storage = open_storage(storage_url, retry_seconds=60)
        study = optuna.create_study(storage=storage)
        postgres.execute(NO_ROOM, storage.engine.url.database)
        timer = threading.Timer(1.0, postgres.execute, (ROOM, storage.engine.url.database))
        timer.start()
        study.set_user_attr("kept", True)
        timer.join()
        assert study.user_attrs == {"kept": True}
        assert "make room there; trying again" in caplog.text
        storage.engine.dispose()

    def test_in_the_end_it_is_one_sentence_which_need_not_be_waited_for_again(
        self, postgres, impatient, caplog
    ):
        study = optuna.create_study(storage=impatient)
        postgres.execute(NO_ROOM, impatient.engine.url.database)
        with pytest.raises(CannotWrite, match=r"its server's disk is full; make room there$"):
            study.set_user_attr("kept", True)
        assert study.user_attrs == {}
        with pytest.raises(CannotWrite):
            study.set_user_attr("kept", True)
        assert caplog.text.count("trying again") == 1
        with pytest.raises(CannotWrite):
            optuna.create_study(storage=impatient)
        postgres.execute(ROOM, impatient.engine.url.database)
        study.set_user_attr("kept", True)
        assert study.user_attrs == {"kept": True}


@on_postgres
def test_a_dashboard_without_its_database_answers_503_and_recovers(server, impatient, tmp_path):
    optuna.create_study(storage=impatient, study_name="kept")
    app = dashboard_app(
        impatient,
        open_artifacts(tmp_path, only_reading=True),
        address=Address(),
        credentials=None,
        only_reading=True,
    )

    def studies():
        started = []
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/api/studies", "HTTP_HOST": "127.0.0.1"}
        setup_testing_defaults(environ)
        body = b"".join(app(environ, lambda status, headers, error=None: started.append(status)))
        return started[0], json.loads(body)

    assert studies()[0] == "200 OK"
    server.stop()
    status, answer = studies()
    assert status.startswith("503 ")
    assert "the database does not answer" in answer["reason"]
    server.start()
    status, answer = studies()
    assert (status, answer["study_summaries"][0]["study_name"]) == ("200 OK", "kept")


@on_postgres
def test_a_launcher_whose_worker_dies_while_the_server_is_away_starts_another(
    server, impatient, storage_url, dataset, make_phase1, tmp_path
):
    phase = make_phase1(training={"epochs": 100}, budget={"trials": 1})
    study = create_or_resume(impatient, phase, dataset).study
    said = []

    def lose_worker_and_server():
        if "both are gone" not in said:
            for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                if records.curve(trial):
                    server.stop(CRASH)
                    os.kill(trial.user_attrs[records.WORKER]["pid"], signal.SIGKILL)
                    said.append("both are gone")
        elif len(said) == 2:  # the death has been noticed
            server.start()
            said.append("the server is back")

    plan = WorkerPlan(storage=storage_url, artifacts=tmp_path, workers=1, device="cpu")
    launch(study, plan, on_poll=lose_worker_and_server, say=said.append)
    assert "killed by SIGKILL" in said[1]
    assert len(records.trained(study.trials)) == 1
