"""What holds for processes that share a database, whichever it is."""

import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from atml.service.storage import open_storage
from atml.service.studies import create_or_resume, load
from atml.service.worker import take_trials
from atml.tuning import records, stop
from atml.tuning.grid import point_of
from atml.tuning.processes import this_process
from atml.tuning.standings import Standings
from tests.databases import close, on_every_storage
from tests.waiting import PATIENCE_SECONDS

pytestmark = on_every_storage

ROOT = Path(__file__).parents[2]


def crowd(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.crowd", *map(str, arguments)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def finish(process):
    _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, errors
    return errors


def together(code, *arguments, processes):
    """Run a script in several processes that wait for one another after their imports."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    started = [subprocess.Popen(command, **pipes) for _ in range(processes)]
    assert [process.stdout.readline() for process in started] == ["ready\n"] * processes
    for process in started:
        process.stdin.close()
    codes = [process.wait(PATIENCE_SECONDS) for process in started]
    for process in started:
        process.stdout.close()
    assert codes == [0] * processes


CLAIM = """
import optuna, sys
from atml.service.storage import open_storage

optuna.logging.set_verbosity(optuna.logging.ERROR)
study = optuna.load_study(study_name="claims", storage=open_storage(sys.argv[1]))
print("ready", flush=True)
sys.stdin.read()
study.optimize(lambda trial: float(trial.suggest_int("n", 0, 1000)), n_trials=int(sys.argv[2]))
"""


def test_four_processes_run_no_queued_trial_twice_and_leave_none_out(storage, storage_url):
    study = optuna.create_study(storage=storage, study_name="claims")
    for number in range(40):
        study.enqueue_trial({"n": number})
    together(CLAIM, storage_url, 10, processes=4)
    claims = Counter(trial.params["n"] for trial in study.trials)
    assert claims == dict.fromkeys(range(40), 1)


@pytest.fixture
def wide_phase(make_phase1):
    """A space too large to run out of."""
    rates = {"low": 1e-4, "high": 1e-1, "steps": 100}
    return lambda **changes: make_phase1(search={"learning_rate": rates}, **changes)


def test_eight_workers_spend_the_budget_to_the_trial_and_repeat_no_point(
    storage, storage_url, dataset, wide_phase
):
    study = create_or_resume(storage, wide_phase(budget={"trials": 60}), dataset).study
    finish(crowd(storage_url, "first", 8, "--seconds", 0.1))  # long enough for each to get some
    trained = records.trained(study.trials)
    assert len(trained) == 60
    assert len({tuple(sorted(trial.params.items())) for trial in trained}) == 60
    assert {trial.state for trial in study.trials} <= {TrialState.COMPLETE, TrialState.PRUNED}
    assert len({trial.user_attrs[records.WORKER]["pid"] for trial in trained}) > 4
    assert stop.read(study).by == stop.StoppedBy.BUDGET


def test_eight_workers_who_fight_for_queued_trials_spend_the_budget_to_the_trial(
    storage, storage_url, dataset, wide_phase
):
    stored = create_or_resume(storage, wide_phase(budget={"trials": 10}), dataset)
    study = stored.study
    for point in stored.grid.points[:30]:
        study.enqueue_trial(point.params)
    finish(crowd(storage_url, "first", 8, "--seconds", 0.05))
    assert len(records.trained(study.trials)) == 10


def test_a_queued_point_that_one_process_has_claimed_is_held_for_the_others(
    request, storage, storage_url, dataset, wide_phase
):
    stored = create_or_resume(storage, wide_phase(), dataset)
    point = stored.grid.points[7]
    stored.study.enqueue_trial(point.params)
    elsewhere = open_storage(storage_url)
    request.addfinalizer(lambda: close(elsewhere))
    seen = []

    def look(trial):
        """Look from elsewhere while only one of the parameters is stored."""
        trial.suggest_categorical(records.ARCHITECTURE, stored.grid.architectures)
        other = load(elsewhere, "first")
        standings = Standings.of(other.grid, other.phase.data.folds, other.study.trials)
        seen.extend(other.grid.points[at].key for at in standings.running.nonzero()[0])
        return 0.5

    stored.study.optimize(look, n_trials=1)
    assert seen == [point.key]


def test_the_point_of_a_new_trial_is_seen_from_the_start(request, storage, storage_url, dataset, wide_phase):
    stored = create_or_resume(storage, wide_phase(), dataset)
    stored.study.sampler = stored.phase.sampler(0, stored.grid)
    elsewhere = open_storage(storage_url)
    request.addfinalizer(lambda: close(elsewhere))
    seen = []

    def look(trial):
        seen.extend(load(elsewhere, "first").study.trials)
        return 0.5

    take_trials(stored, look, leave=lambda: bool(seen))
    (trial,) = seen
    assert (trial.state, trial.params) == (TrialState.RUNNING, {})
    assert point_of(trial) in stored.grid.index


def test_start_times_follow_the_order_in_which_trials_become_visible(
    storage_url, storage, dataset, wide_phase
):
    stored = create_or_resume(storage, wide_phase(budget={"trials": 30}), dataset)
    finish(crowd(storage_url, "first", 6, "--random"))
    started = [trial.datetime_start for trial in stored.study.trials]
    assert started == sorted(started)


CLOSE = """
import sys
import optuna
from atml.service.alive import close_dead_trials
from atml.service.storage import open_storage

study = optuna.load_study(study_name="first", storage=open_storage(sys.argv[1]))
print("ready", flush=True)
sys.stdin.read()
close_dead_trials(study)
"""


def test_processes_that_notice_deaths_together_queue_each_trial_again_once(
    storage, storage_url, dataset, wide_phase
):
    stored = create_or_resume(storage, wide_phase(), dataset)
    study, gone = stored.study, replace(this_process(), pid=2**22 + 1)
    for point in stored.grid.points[:10]:
        study.enqueue_trial(point.params)
        study.ask().set_user_attr(records.WORKER, gone.to_dict())
    together(CLOSE, storage_url, processes=4)
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.FAIL] * 10 + [TrialState.WAITING] * 10
    assert sorted(trial.user_attrs[records.RETRY_OF] for trial in study.trials[10:]) == list(range(10))


OPEN = """
import sys
from atml.service.storage import open_storage
print("ready", flush=True)
sys.stdin.read()
open_storage(sys.argv[1]).get_all_studies()
"""


def test_processes_that_open_an_empty_database_together_all_get_it(storage_url):
    together(OPEN, storage_url, processes=4)
