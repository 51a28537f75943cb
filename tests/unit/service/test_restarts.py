import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from atml.evaluation import Estimate
from atml.service.restarts import LONGEST_DELAY_SECONDS, History, Restarts, history_of
from atml.tuning import records
from atml.tuning.processes import this_process
from atml.tuning.retry import MOST_DEATHS

PROGRESS = History(began=True, progressed=True)
NO_PROGRESS = History(began=True, progressed=False)
WITHOUT_TRIAL = History(began=False, progressed=False)


def delays(*lives):
    restarts = Restarts()
    return [restarts.delay_after(life) for life in lives]


class TestRestarts:
    def test_a_worker_that_never_begins_a_trial_is_given_up_soon(self):
        assert delays(WITHOUT_TRIAL, WITHOUT_TRIAL, WITHOUT_TRIAL) == [1, 2, None]

    def test_the_wait_doubles_while_nothing_is_gained_and_has_a_limit(self):
        found = delays(*[NO_PROGRESS] * 7)
        assert found[:5] == [1, 2, 4, 8, 16]
        assert found[5:] == [LONGEST_DELAY_SECONDS] * 2

    def test_a_trial_that_kills_its_workers_is_given_up_before_the_worker_is(self):
        found = delays(*[NO_PROGRESS] * (MOST_DEATHS + 2))
        assert found.index(None) == MOST_DEATHS + 1

    def test_a_worker_that_gains_something_each_time_is_started_again_for_ever(self):
        assert delays(*[PROGRESS] * 50) == [1] * 50

    def test_one_gain_makes_up_for_the_deaths_before(self):
        assert delays(NO_PROGRESS, NO_PROGRESS, PROGRESS, NO_PROGRESS) == [1, 2, 1, 1]


@pytest.fixture
def study():
    return optuna.create_study()


RESULT = Estimate(fbeta=0.5, standard_error=None, threshold=0.2, by_fold=(0.5,))


def add(study, *, pid, epochs=0, reached=0, state=TrialState.RUNNING):
    study.add_trial(
        optuna.trial.create_trial(
            state=state,
            value=0.5 if state == TrialState.COMPLETE else None,
            params={"x": 0.5},
            distributions={"x": FloatDistribution(0, 1)},
            user_attrs={
                records.WORKER: {**this_process().to_dict(), "pid": pid},
                records.CURVE: [[0, 0.5, 0.5, 0.5, 1.0]] * epochs,
                records.REACHED: [0, reached],
                **({records.RESULT: records.result_record(RESULT)} if state == TrialState.COMPLETE else {}),
            },
        )
    )


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
def test_an_epoch_that_none_had_before_or_a_result_is_a_gain(study, trial, gained):
    add(study, pid=7, **trial)
    assert history_of(study, 7) == History(began=True, progressed=gained)


def test_the_history_of_others_do_not_count(study):
    add(study, pid=8, epochs=3)
    assert history_of(study, 7) == WITHOUT_TRIAL
