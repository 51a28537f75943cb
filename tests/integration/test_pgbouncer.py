"""Many workers on few connections: PgBouncer in transaction mode, and restarts of it and of the server."""

import contextlib
import signal
import threading
import time

import pytest
from optuna.trial import TrialState
from sqlalchemy import event
from sqlalchemy.pool import Pool

from atml.service.studies import create_or_resume
from atml.tuning import records
from tests.crowd import work
from tests.integration.test_databases import crowd, finish
from tests.pgbouncer import CONNECTIONS
from tests.waiting import until

through_pgbouncer = pytest.mark.parametrize("storage_url", ["pgbouncer"], indirect=True)
pytestmark = through_pgbouncer
BUDGET = 24


@pytest.fixture
def make_study(storage, dataset, make_phase1):
    """A study of a space too large to run out of."""

    def make_study(trials):
        rates = {"low": 1e-4, "high": 1e-1, "steps": 500}
        phase = make_phase1(search={"learning_rate": rates}, budget={"trials": trials})
        return create_or_resume(storage, phase, dataset).study

    return make_study


def assert_all_is_there(study, trials):
    trained = records.trained(study.trials)
    assert len(trained) == trials
    assert len({tuple(sorted(trial.params.items())) for trial in trained}) == trials
    assert not [trial for trial in study.trials if trial.state == TrialState.RUNNING]


@contextlib.contextmanager
def counted_connections():
    """Give a list to which every taken connection adds how many its thread holds."""
    held, counts = threading.local(), []

    def take(*_):
        held.count = getattr(held, "count", 0) + 1
        counts.append(held.count)

    def give_back(*_):
        held.count -= 1

    event.listen(Pool, "checkout", take)
    event.listen(Pool, "checkin", give_back)
    try:
        yield counts
    finally:
        event.remove(Pool, "checkout", take)
        event.remove(Pool, "checkin", give_back)


def test_a_worker_never_waits_for_a_second_connection_while_it_holds_one(make_study, storage_url):
    """If all did, PgBouncer would have none left, and all would wait until it gives up."""
    with counted_connections() as counts:
        make_study(4)
        work(storage_url, "first", 0)
    assert set(counts) == {1}


def test_64_workers_share_few_connections_and_spend_the_budget_to_the_trial(
    make_study, storage, storage_url, postgres
):
    study = make_study(64)
    workers = crowd(storage_url, "first", 64, "--random")
    database = storage_url.rpartition("/")[2]
    # Autovacuum's workers are not connections of PgBouncer.
    query = f"""SELECT count(*) FROM pg_stat_activity
                WHERE datname = '{database}' AND backend_type = 'client backend'"""

    counts = []
    while workers.poll() is None:
        counts.append(postgres.execute(query)[0][0])
        time.sleep(0.2)
    assert "Traceback" not in finish(workers)
    assert_all_is_there(study, 64)
    # One that PgBouncer has just closed may be listed for a moment beside its successor.
    lasting = [min(three) for three in zip(counts, counts[1:], counts[2:], strict=False)]
    assert 0 < max(lasting) <= CONNECTIONS


@pytest.fixture
def restarted(pgbouncer, postgres):
    """Both, running again after the test whatever happened."""
    yield
    for one in (postgres, pgbouncer):
        one.stop()
        one.start()


@pytest.mark.usefixtures("restarted")
@pytest.mark.parametrize("what", ["pgbouncer", "stopped server", "crashed server"])
def test_workers_wait_for_a_restart_and_the_budget_is_exact(
    make_study, storage_url, pgbouncer, postgres, what
):
    study = make_study(BUDGET)
    workers = crowd(storage_url, "first", 4, "--seconds", 0.2)
    until(lambda: len(records.trained(study.trials)) >= 6)
    if what == "pgbouncer":
        pgbouncer.stop()
    else:
        postgres.stop(signal.SIGQUIT if what == "crashed server" else signal.SIGINT)
    time.sleep(1.5)
    (pgbouncer if what == "pgbouncer" else postgres).start()
    assert "Traceback" not in finish(workers)
    assert_all_is_there(study, BUDGET)
