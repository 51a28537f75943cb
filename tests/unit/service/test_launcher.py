"""Whether and when a worker that died is restarted."""

from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from atml.errors import StorageUnreachable
from atml.evaluation import Estimate
from atml.service import launcher
from atml.service.launcher import LONGEST_DELAY_SECONDS, _delay_after_death, _history, _Slot
from atml.tuning import records
from atml.tuning.processes import this_process
from atml.tuning.retry import MOST_DEATHS
from atml.tuning.times import now

PROGRESS, NO_PROGRESS, WITHOUT_TRIAL = {"epochs": 3}, {"epochs": 0}, None


@pytest.fixture
def study():
    return optuna.create_study()


@pytest.fixture
def slot():
    return _Slot(index=0, device="cpu", log=Path("worker-0.log"))


RESULT = Estimate(fbeta=0.5, standard_error=None, threshold=0.2, by_fold=(0.5,))


def add(study, *, epochs=0, reached=0, state=TrialState.RUNNING, **worker):
    study.add_trial(
        optuna.trial.create_trial(
            state=state,
            value=0.5 if state == TrialState.COMPLETE else None,
            params={"x": 0.5},
            distributions={"x": FloatDistribution(0, 1)},
            user_attrs={
                records.WORKER: {**this_process().to_dict(), **worker},
                records.CURVE: [[0, 0.5, 0.5, 0.5, 1.0]] * epochs,
                records.REACHED: [0, reached],
                **({records.RESULT: records.result_record(RESULT)} if state == TrialState.COMPLETE else {}),
            },
        )
    )


@pytest.fixture
def delays(study, slot):
    """The waits after the deaths of a slot's processes, each of which trained one trial or none."""
    pids = count(1)

    def delays(*lives):
        found = []
        for pid, life in zip(pids, lives, strict=False):
            if life is not None:
                add(study, pid=pid, **life)
            found.append(_delay_after_death(slot, study, pid))
        return found

    return delays


class TestDelays:
    def test_a_worker_that_never_begins_a_trial_is_given_up_soon(self, delays):
        assert delays(WITHOUT_TRIAL, WITHOUT_TRIAL, WITHOUT_TRIAL) == [1, 2, None]

    def test_the_wait_doubles_while_nothing_is_gained_and_has_a_limit(self, delays):
        found = delays(*[NO_PROGRESS] * 7)
        assert found[:5] == [1, 2, 4, 8, 16]
        assert found[5:] == [LONGEST_DELAY_SECONDS] * 2

    def test_a_trial_that_kills_its_workers_is_given_up_before_the_worker_is(self, delays):
        found = delays(*[NO_PROGRESS] * (MOST_DEATHS + 2))
        assert found.index(None) == MOST_DEATHS + 1

    def test_a_worker_that_gains_something_each_time_is_started_again_for_ever(self, delays):
        assert delays(*[PROGRESS] * 50) == [1] * 50

    def test_one_gain_makes_up_for_the_deaths_before(self, delays):
        assert delays(NO_PROGRESS, NO_PROGRESS, PROGRESS, NO_PROGRESS) == [1, 2, 1, 1]


@pytest.mark.parametrize(
    ("trial", "gained"),
    [
        ({"epochs": 3}, True),
        ({"epochs": 3, "reached": 2}, True),
        ({"epochs": 3, "reached": 3}, False),  # died where the one before it died
        ({"epochs": 3, "reached": 3, "state": TrialState.COMPLETE}, True),
        ({"epochs": 0, "state": TrialState.PRUNED}, False),
    ],
)
def test_an_epoch_that_none_had_before_or_a_result_is_a_gain(study, slot, trial, gained):
    add(study, pid=7, **trial)
    assert _history(slot, study, 7) == (True, gained)


@pytest.mark.parametrize("other", [{"pid": 8}, {"host": "another"}, {"namespace": "another boot"}])
def test_what_other_processes_did_does_not_count(study, slot, other):
    add(study, epochs=3, **{"pid": 7, **other})
    assert _history(slot, study, 7) == (False, False)


def test_what_an_earlier_process_of_the_same_number_did_does_not_count(study, slot):
    add(study, pid=7, epochs=3)
    later = replace(slot, started=now() + timedelta(seconds=1))
    assert _history(later, study, 7) == (False, False)


def test_of_a_server_that_is_away_the_history_is_unknown(study, slot, monkeypatch):
    def away(**_):
        raise StorageUnreachable("away")

    monkeypatch.setattr(study, "get_trials", away)
    assert [_delay_after_death(slot, study, 7) for _ in range(4)] == [1, 2, 4, 8]
    assert launcher.MAX_STARTS_WITHOUT_TRIAL < 4
