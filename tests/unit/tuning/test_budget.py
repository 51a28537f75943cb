from datetime import datetime, timedelta

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState, create_trial

from atml.evaluation import Estimate
from atml.tuning import records, stop
from atml.tuning.budget import (
    Spent,
    active_seconds,
    exhausted,
    first_to_finish,
    may_train,
    out_of_time,
    spent,
)
from atml.tuning.spec import BudgetSpec

EIGHT = datetime(2026, 1, 1, 8)
NOW = EIGHT + timedelta(seconds=1000)
COMPLETE, PRUNED, RUNNING, FAIL = (
    TrialState.COMPLETE,
    TrialState.PRUNED,
    TrialState.RUNNING,
    TrialState.FAIL,
)


RESULT = Estimate(fbeta=0.5, standard_error=None, threshold=0.2, by_fold=(0.5,))


def trial(start, end, state=COMPLETE, number=0, **attributes):
    """Make a trial from its times in seconds after eight."""
    if state == COMPLETE:
        attributes[records.RESULT] = records.result_record(RESULT)
    made = create_trial(state=state, value=0.5 if state == COMPLETE else None, user_attrs=attributes)
    made.number = number
    made.datetime_start = None if start is None else EIGHT + timedelta(seconds=start)
    made.datetime_complete = None if end is None else EIGHT + timedelta(seconds=end)
    return made


@pytest.mark.parametrize(
    ("trials", "seconds"),
    [
        ([], 0),
        ([trial(0, 10), trial(10, 30)], 30),
        ([trial(0, 10), trial(5, 20)], 20),  # two workers at a time
        ([trial(0, 100), trial(10, 20), trial(30, 40)], 100),
        ([trial(0, 10), trial(500, 510)], 20),  # a pause between two sessions
        ([trial(500, 510), trial(0, 10)], 20),
        ([trial(0, 10), trial(5, 900, FAIL)], 10),  # closed long after its process was killed
        ([trial(0, 10, PRUNED)], 10),
        ([trial(900, None, RUNNING)], 100),
        ([trial(None, None, TrialState.WAITING)], 0),
    ],
)
def test_time_counts_while_at_least_one_trial_runs(trials, seconds):
    assert active_seconds(trials, NOW) == seconds


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=8))
def test_time_is_the_length_of_the_union_for_any_intervals(spans):
    trials = [trial(start, start + length) for start, length in spans]
    covered = {second for start, length in spans for second in range(start, start + length)}
    assert active_seconds(trials, NOW) == len(covered)


def test_only_trials_that_trained_are_spent(make_trial):
    def made(state, **attributes):
        return make_trial(state=state, **attributes)

    trials = [
        made(COMPLETE, curve=(0.5,)),
        made(PRUNED, curve=(0.5,), pruned_by="pruner"),
        made(PRUNED, pruned_by="diverged"),  # in its first epoch
        made(PRUNED, curve=(0.5,), pruned_by="error"),
        made(PRUNED, pruned_by="error"),  # before its first epoch had ended
        made(PRUNED, pruned_by="neighbourhood"),
        made(PRUNED, pruned_by="size"),
        made(PRUNED, curve=(0.5,), by_fold=(0.5,), pruned_by="race"),
        made(PRUNED, by_fold=(0.5,), pruned_by="race"),  # it only took up the folds of another
        made(RUNNING, curve=(0.5,)),
        made(FAIL, curve=(0.5,)),
    ]
    used = spent(trials, NOW)
    assert (used.trained, used.untrained, used.running) == (5, 4, 1)


@pytest.mark.parametrize(
    ("budget", "trained", "seconds", "reason"),
    [
        ({"trials": 3}, 2, 1e9, None),
        ({"trials": 3}, 3, 0, "the budget of 3 trials is spent"),
        ({"trials": None, "minutes": 1}, 10**6, 59.9, None),
        ({"trials": None, "minutes": 1}, 0, 60, "the budget of 1 min is spent"),
        ({"trials": None}, 10**6, 1e9, None),
    ],
)
def test_a_budget_ends_with_its_trials_or_its_minutes(budget, trained, seconds, reason):
    used = Spent(trained=trained, running=0, untrained=99, seconds=seconds)
    assert exhausted(BudgetSpec(**budget), used) == reason
    assert (out_of_time(BudgetSpec(**budget), seconds) is not None) is ("min " in (reason or ""))


@pytest.mark.parametrize(
    ("trials", "first"),
    [
        ([], None),
        ([trial(0, 9, PRUNED)], None),
        ([trial(5, None, RUNNING, 0), trial(0, None, RUNNING, 1)], 1),
        ([trial(None, None, TrialState.WAITING, 0), trial(0, None, RUNNING, 1)], 1),
        ([trial(0, 9, FAIL, 0), trial(None, None, TrialState.WAITING, 1)], 1),
        ([trial(0, 9), trial(9, None, RUNNING, 1)], None),
    ],
)
def test_the_oldest_unfinished_trial_may_finish_beyond_the_time_if_none_has(trials, first):
    assert first_to_finish(trials) == first
    used = spent(trials, NOW)
    over = exhausted(BudgetSpec(trials=None, minutes=1e-9), used, first_to_finish(trials))
    assert (over is None) is (first is not None or not trials)


def racers(*starts):
    done = [trial(0, 1, number=0), trial(1, 2, number=1)]
    return [*done, *(trial(start, None, RUNNING, number=2 + i) for i, start in enumerate(starts))]


@pytest.mark.parametrize("starts", [(5, 6), (6, 5), (5, 5), (7, 6, 5)])
@pytest.mark.parametrize("free", [0, 1, 2])
def test_as_many_racers_train_as_the_budget_has_left(starts, free):
    trials = racers(*starts)
    budget = BudgetSpec(trials=2 + free)
    allowed = [t.number for t in trials if t.state == RUNNING and may_train(budget, trials, t.number)]
    first = sorted(range(len(starts)), key=lambda i: (starts[i], i))[:free]
    assert allowed == sorted(2 + i for i in first)


def test_without_a_number_of_trials_every_racer_trains():
    trials = racers(5, 6)
    assert all(may_train(BudgetSpec(trials=None, minutes=1), trials, number) for number in (2, 3))


@pytest.mark.parametrize("by", list(stop.StoppedBy))
def test_a_stop_sign_reaches_every_process_and_can_be_taken_down(storage, storage_url, by):
    study = optuna.create_study(storage=storage, study_name="s")
    elsewhere = optuna.load_study(storage=storage_url, study_name="s")
    assert stop.read(elsewhere) is None
    sign = stop.Stop(by=by, because="a reason", trial=3)
    stop.request_stop(study, sign)
    assert stop.read(elsewhere) == sign
    stop.clear_stop(elsewhere)
    assert stop.read(study) is None


def test_a_trial_without_a_verdict_releases_its_point(make_trial):
    released = {
        by for by in records.PrunedBy if records.released_point(make_trial(state=PRUNED, pruned_by=by))
    }
    assert released == {"budget", "duplicate", "stopped", "race"}
