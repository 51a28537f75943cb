import optuna
from optuna.trial import TrialState

from atml.search.retry import MOST_DEATHS, queue_after_death, queue_again

FAIL, WAITING = TrialState.FAIL, TrialState.WAITING


def test_a_trial_that_keeps_killing_its_workers_is_given_up():
    study = optuna.create_study()
    study.enqueue_trial({"x": 1})
    for _ in range(MOST_DEATHS + 1):
        trial = study.ask()
        assert trial.suggest_int("x", 0, 9) == 1
        study.tell(trial.number, state=FAIL)
        queue_after_death(study, study.get_trials()[trial.number])
    assert study.get_trials(states=(WAITING,)) == []


def test_an_interruption_by_the_user_is_no_death():
    study = optuna.create_study()
    study.enqueue_trial({"x": 1})
    for _ in range(MOST_DEATHS + 2):
        trial = study.ask()
        study.tell(trial.number, state=FAIL)
        queue_again(study, study.get_trials()[trial.number])
    assert len(study.get_trials(states=(WAITING,))) == 1
