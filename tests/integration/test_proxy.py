"""`atml proxy`: workers behind it do as others do, and it may be away for a while."""

import os
import signal
import subprocess
import sys
import time

import optuna
import pytest
import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState

from atml.errors import CannotWrite, StorageError, StorageUnreachable
from atml.search import records
from atml.search.processes import this_process
from atml.service.address import Address
from atml.service.proxy import Proxy
from atml.service.storage import GRACE_SECONDS, open_storage
from atml.service.storage.registry import WorkerEntry, registry_of
from atml.service.studies import create_or_resume, load_all
from tests.databases import close, on_postgres
from tests.integration.test_databases import ROOT, crowd, finish
from tests.integration.test_lean_storage import fill, shown
from tests.postgres import free_port
from tests.waiting import PATIENCE_SECONDS, until

FAIL, RUNNING, WAITING = TrialState.FAIL, TrialState.RUNNING, TrialState.WAITING
BUDGET = 24

pytestmark = pytest.mark.filterwarnings("ignore:Heartbeat of storage is supposed")


@pytest.fixture
def proxied(proxy):
    opened = open_storage(proxy.url)
    yield opened
    close(opened)


@pytest.fixture
def start_proxy(start, storage_url):
    """Start `atml proxy` and return it once it serves."""

    def start_proxy(port):
        process = start("proxy", "--storage", storage_url, "--port", port)
        assert f"Proxy: grpc://127.0.0.1:{port} " in process.stderr.readline()
        return process

    return start_proxy


class TestStorage:
    def test_trials_of_every_kind_come_through_as_they_are(self, database, proxied):
        study = optuna.create_study(storage=proxied, study_name="all", directions=["maximize", "minimize"])
        fill(study)
        found = study.get_trials()
        assert {trial.state for trial in found} == set(TrialState)
        assert shown(*found) == shown(*database.get_all_trials(study._study_id))
        assert shown(*found) == shown(*(proxied.get_trial(trial._trial_id) for trial in found))
        assert all(type(trial.values) is list for trial in found if trial.values)

    def test_what_others_write_into_a_running_trial_is_seen_until_its_end(self, database, proxied):
        study = optuna.create_study(storage=proxied, study_name="live")
        trial = optuna.load_study(study_name="live", storage=database).ask()
        for epoch in range(3):
            trial.set_user_attr("epoch", epoch)
            assert study.trials[0].user_attrs == {"epoch": epoch}
        trial.set_user_attr("last", True)
        database.set_trial_state_values(trial._trial_id, TrialState.COMPLETE, [0.5])
        assert study.trials[0].user_attrs == {"epoch": 2, "last": True}
        assert study.best_value == 0.5

    def test_studies_are_created_and_found_as_without_a_proxy(self, database, proxied, dataset, make_phase1):
        create_or_resume(proxied, make_phase1(), dataset)
        (there,), (here,) = load_all(proxied), load_all(database)
        assert (there.phase, there.data) == (here.phase, here.data)
        assert there.study.trials == here.study.trials
        with pytest.raises(optuna.exceptions.DuplicatedStudyError):
            optuna.create_study(storage=proxied, study_name="first")

    @pytest.mark.parametrize("error", [StorageError, StorageUnreachable, StorageInternalError, CannotWrite])
    def test_what_the_database_refuses_is_told_as_without_a_proxy(self, database, proxy, monkeypatch, error):
        def refuse(*_):
            raise error("this user may only read here")

        monkeypatch.setattr(type(database), "set_study_user_attr", refuse)
        storage = open_storage(proxy.url, patience_seconds=0)
        study = optuna.create_study(storage=storage, study_name="kept")
        with pytest.raises(error) as caught:
            study.set_user_attr("new", 1)
        assert caught.type is error
        close(storage)

    def test_a_parameter_may_follow_after_a_restart_of_the_proxy(self, database):
        with Proxy(database, Address(port=0)) as first:
            storage = open_storage(first.url)
            trial = optuna.create_study(storage=storage, study_name="cut").ask()
            trial.suggest_float("before", 0, 1)
            close(storage)
        with Proxy(database, Address(port=0)) as second:
            storage = open_storage(second.url)
            distribution = optuna.distributions.IntDistribution(0, 9)
            storage.set_trial_param(trial._trial_id, "after", 3, distribution)
            assert set(storage.get_trial(trial._trial_id).params) == {"before", "after"}
            close(storage)


def outdate_heartbeats(database):
    hour_ago = sqlalchemy.text("UPDATE trial_heartbeats SET heartbeat = datetime('now', '-1 hour')")
    with database.engine.begin() as connection:
        return connection.execute(hour_ago).rowcount


WORK_ELSEWHERE = """
import optuna, sys, time, warnings
from atml.search import records
from atml.search.processes import this_process
from atml.service.storage import open_storage

def outlast(trial):
    trial.suggest_float("x", 0, 1)
    trial.set_user_attr(records.WORKER, {"host": "elsewhere", "pid": 1})
    time.sleep(600)

warnings.simplefilter("ignore")
optuna.load_study(study_name="first", storage=open_storage(sys.argv[1])).optimize(outlast, n_trials=1)
"""


@pytest.fixture
def worker_elsewhere(proxied, dataset, make_phase1):
    """A trial that a process trains, which says that it is on another machine."""
    study = create_or_resume(proxied, make_phase1(), dataset).study
    process = subprocess.Popen(
        [sys.executable, "-c", WORK_ELSEWHERE, f"grpc://{proxied._host}:{proxied._port}"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    until(lambda: any(records.WORKER in trial.user_attrs for trial in study.trials))
    yield study, process
    process.kill()
    process.wait()


class TestHeartbeats:
    def test_the_trial_of_a_killed_worker_is_closed_and_queued_again(self, database, worker_elsewhere):
        study, process = worker_elsewhere
        process.kill()
        until(lambda: outdate_heartbeats(database))
        until(lambda: study.trials[0].state == FAIL)  # nobody but the proxy is there to do so
        (again,) = until(lambda: [t for t in study.trials if t.user_attrs.get(records.RETRY_OF) == 0])
        assert again.state == WAITING
        assert again.system_attrs["fixed_params"].items() >= study.trials[0].params.items()

    def test_the_trial_of_a_worker_that_lives_goes_on(self, database, worker_elsewhere):
        study, _ = worker_elsewhere
        time.sleep(1)  # ten looks
        assert study.trials[0].state == RUNNING
        # Workers without a proxy see the same heartbeats, by the same clock.
        (written,) = database.engine.connect().execute(sqlalchemy.text(_AGES)).all()
        assert abs(written.age) < GRACE_SECONDS

    def test_after_a_start_workers_have_time_to_send_one(self, database):
        with Proxy(database, Address(port=0), reap_seconds=0.05) as proxy:
            storage = open_storage(proxy.url)
            study = optuna.create_study(storage=storage, study_name="kept")
            storage.record_heartbeat(study.ask()._trial_id)
            outdate_heartbeats(database)
            time.sleep(0.5)
            assert storage._get_stale_trial_ids(study._study_id) == []
            assert len(database._get_stale_trial_ids(study._study_id)) == 1
            close(storage)


_AGES = "SELECT (julianday('now') - julianday(heartbeat)) * 86400 AS age FROM trial_heartbeats"


def test_workers_with_and_without_a_proxy_stand_on_one_table(database, proxied):
    here, there = registry_of(database), registry_of(proxied)
    entry = WorkerEntry(
        worker="one", process=this_process(), number=3, device="cpu", threads=1, study="first"
    )
    there.beat(entry)
    for registry in (here, there):
        (seen,) = registry.workers()
        assert seen.entry == entry
        assert not seen.is_lost
    there.leave("one")
    assert here.workers() == there.workers() == []


@pytest.fixture
def wide_phase(make_phase1):
    """A space too large to run out of."""
    rates = {"low": 1e-4, "high": 1e-1, "steps": 100}
    return make_phase1(search={"learning_rate": rates}, budget={"trials": BUDGET})


class TestOutage:
    @pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["ended", "killed"])
    def test_workers_sit_out_a_restart_of_the_proxy_and_the_budget_is_exact(
        self, how, database, dataset, wide_phase, start_proxy
    ):
        study = create_or_resume(database, wide_phase, dataset).study
        port = free_port()
        proxy = start_proxy(port)
        workers = crowd(f"grpc://127.0.0.1:{port}", "first", 4, "--seconds", 0.1)
        until(lambda: len(records.trained(study.trials)) >= 8)
        proxy.send_signal(how)
        assert proxy.wait(PATIENCE_SECONDS) == (0 if how == signal.SIGTERM else -how)
        start_proxy(port)
        errors = finish(workers)
        assert "does not answer; trying again" in errors
        assert "Traceback" not in errors
        assert_all_is_there(study)

    @on_postgres
    def test_workers_sit_out_a_restart_of_the_database_behind_it(
        self, postgres, database, dataset, wide_phase, start_proxy
    ):
        study = create_or_resume(database, wide_phase, dataset).study
        port = free_port()
        start_proxy(port)
        workers = crowd(f"grpc://127.0.0.1:{port}", "first", 4, "--seconds", 0.1)
        until(lambda: len(records.trained(study.trials)) >= 8)
        postgres.stop()
        time.sleep(1)
        postgres.start()
        assert "Traceback" not in finish(workers)
        assert_all_is_there(study)

    def test_a_command_is_told_soon_that_the_proxy_has_gone(self, database):
        with Proxy(database, Address(port=0)) as proxy:
            storage = open_storage(proxy.url, patience_seconds=0.5)
            study = optuna.create_study(storage=storage, study_name="kept")
        with pytest.raises(StorageUnreachable, match=r"the proxy, or its database, has not answered for \d"):
            study.trials  # noqa: B018
        storage.record_heartbeat(0)  # is left out
        with pytest.raises(StorageUnreachable):
            optuna.create_study(storage=storage, study_name="new")
        close(storage)


def assert_all_is_there(study):
    trained = records.trained(study.trials)
    assert len(trained) == BUDGET
    assert len({tuple(sorted(trial.params.items())) for trial in trained}) == BUDGET
    assert not [trial for trial in study.trials if trial.state == RUNNING]


def test_a_killed_worker_of_the_proxy_loses_no_trial(
    database, proxy, proxied, start, dataset, make_phase1, tmp_path
):
    phase = make_phase1(
        search={"architectures": ["optimized_afnet"]},
        budget={"trials": 1},
        training={"epochs": 40},
    )
    study = create_or_resume(proxied, phase, dataset).study
    worker = ["worker", "first", "--storage", proxy.url, "--artifacts", tmp_path / "files", "--device", "cpu"]
    first = start(*worker)
    until(lambda: [trial for trial in study.trials if trial.state == RUNNING and records.curve(trial)])
    first.kill()
    first.wait()
    until(lambda: [trial for trial in study.trials if trial.user_attrs.get(records.RETRY_OF) == 0])
    assert start(*worker).wait(PATIENCE_SECONDS) == 0
    assert study.trials[0].state == FAIL
    (trained,) = records.trained(study.trials)
    assert trained.user_attrs[records.RETRY_OF] == 0
    assert trained == database.get_trial(trained._trial_id)


class TestMistakes:
    def test_nobody_there(self):
        with pytest.raises(StorageUnreachable, match=r"no proxy answers there; .* that `atml proxy` runs"):
            open_storage(f"grpc://127.0.0.1:{free_port()}")

    def test_a_worker_waits_for_a_proxy_that_has_yet_to_start(self, database):
        port, began = free_port(), time.monotonic()
        asked = iter([False, True])
        with pytest.raises(StorageUnreachable):
            open_storage(
                f"grpc://127.0.0.1:{port}", patience_seconds=60, wait_for_server=True, give_up=asked.__next__
            )
        assert time.monotonic() - began > 0.9  # it asked twice

    def test_a_proxy_of_plain_optuna(self, database):
        from optuna.storages._grpc.server import make_server

        port = free_port()
        server = make_server(database, "127.0.0.1", port)
        server.start()
        with pytest.raises(StorageError, match="a gRPC server answers there, but not ATML's"):
            open_storage(f"grpc://127.0.0.1:{port}")
        server.stop(0).wait()

    def test_grpc_is_not_installed(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "atml.service.storage.grpc", None)
        with pytest.raises(StorageError, match=r"pip install 'atml\[grpc\]'"):
            open_storage("grpc://127.0.0.1:13000")

    def test_grpc_is_not_imported_before_it_is_used(self):
        code = "import sys, atml.cli.main, atml.service.serving; sys.exit('grpc' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
