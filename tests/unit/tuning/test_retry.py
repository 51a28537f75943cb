import optuna
from optuna.trial import TrialState

from atml.tuning import records
from atml.tuning.retry import MOST_DEATHS, deaths_of, retry_after_death, retry_after_interruption

FAIL, WAITING = TrialState.FAIL, TrialState.WAITING


def close_after_death(study, trial):
    """Do what whoever notices a worker's death does with its trial."""
    study.tell(trial.number, state=FAIL)
    study.add_trial(retry_after_death(study.get_trials()[trial.number]))


def test_deaths_in_a_row_are_counted():
    study = optuna.create_study()
    study.enqueue_trial({"x": 1})
    for _ in range(MOST_DEATHS + 1):
        trial = study.ask()
        assert trial.suggest_int("x", 0, 9) == 1
        close_after_death(study, trial)
    assert deaths_of(study.get_trials()[trial.number]) == MOST_DEATHS + 1


def test_an_interruption_by_the_user_is_no_death():
    study = optuna.create_study()
    study.enqueue_trial({"x": 1})
    for _ in range(MOST_DEATHS + 2):
        trial = study.ask()
        study.tell(trial.number, state=FAIL)
        study.add_trial(retry_after_interruption(study.get_trials()[trial.number]))
    assert len(study.get_trials(states=(WAITING,))) == 1


def test_a_trial_that_gets_further_each_time_is_never_given_up():
    """Somebody kills its workers, then: it is not the trial."""
    study = optuna.create_study()
    study.enqueue_trial({"x": 1})
    for epochs in range(1, MOST_DEATHS + 3):
        trial = study.ask()
        trial.set_user_attr(records.CURVE, [[0, 0.5, 0.5, 0.5, 1.0]] * epochs)
        close_after_death(study, trial)
    assert len(study.get_trials(states=(WAITING,))) == 1


def test_a_trial_that_dies_before_it_is_as_far_as_earlier_ones_gets_nowhere():
    study = optuna.create_study()
    study.enqueue_trial({"x": 1})
    for epochs in [5, *range(MOST_DEATHS)]:
        trial = study.ask()
        assert trial.suggest_int("x", 0, 9) == 1
        trial.set_user_attr(records.CURVE, [[0, 0.5, 0.5, 0.5, 1.0]] * min(epochs, 5))
        close_after_death(study, trial)
    assert deaths_of(study.get_trials()[trial.number]) == MOST_DEATHS + 1


def test_a_trial_that_is_in_a_further_fold_each_time_is_never_given_up():
    """A retry that takes up known folds has only the epochs of the next in its own curve."""
    study = optuna.create_study()
    study.enqueue_trial({"x": 1})
    for folds in range(MOST_DEATHS + 3):
        trial = study.ask()
        assert trial.suggest_int("x", 0, 9) == 1
        counts = {str(fold): {"S1": [1, 1, [0], [0]]} for fold in range(folds)}
        trial.set_user_attr(records.RESULT, {"counts": counts})
        trial.set_user_attr(records.CURVE, [[folds, 0.5, 0.5, 0.5, 1.0]])
        close_after_death(study, trial)
    assert len(study.get_trials(states=(WAITING,))) == 1


def test_an_interrupted_trial_that_got_further_has_no_deaths_in_a_row():
    study = optuna.create_study()
    study.enqueue_trial({"x": 1})
    close_after_death(study, study.ask())
    trial = study.ask()
    trial.set_user_attr(records.CURVE, [[0, 0.5, 0.5, 0.5, 1.0]])
    assert retry_after_interruption(study.get_trials()[trial.number]).user_attrs[records.DEATHS] == 0
