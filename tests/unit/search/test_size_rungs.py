import optuna
import pytest
from optuna.trial import TrialState

from atml.search import records
from atml.search.size_rungs import SizeAwarePruner


@pytest.fixture
def study():
    return optuna.create_study(directions=["maximize", "minimize"])


@pytest.fixture
def pruned(study, make_trial):
    """Whether a running trial of this size and curve is pruned beside those in the study."""

    def ask(onnx_bytes, *curve, startup_trials=2, warmup_epochs=0):
        trial = make_trial(onnx_bytes=onnx_bytes, curve=curve, state=TrialState.RUNNING, directions=2)
        trial.number = len(study.trials)
        pruner = SizeAwarePruner(startup_trials=startup_trials, warmup_epochs=warmup_epochs)
        return pruner.prune(study, trial)

    return ask


@pytest.fixture
def rivals(study, make_trial):
    def add(*sizes_and_curves, state=TrialState.COMPLETE):
        for size, curve in sizes_and_curves:
            study.add_trial(make_trial(onnx_bytes=size, curve=curve, directions=2, state=state))

    return add


def test_a_trial_behind_the_median_of_the_no_larger_ones_is_pruned(pruned, rivals):
    rivals((1000, (0.8, 0.9)), (1000, (0.7, 0.7)), (900, (0.6, 0.6)))
    assert pruned(1000, 0.65)
    assert not pruned(1000, 0.7)


def test_larger_trials_say_nothing_about_a_smaller_one(pruned, rivals):
    rivals((1001, (0.9,)), (2000, (0.9,)), (3000, (0.9,)))
    assert not pruned(1000, 0.1)
    assert pruned(3000, 0.1)


def test_a_trial_smaller_than_all_others_is_never_pruned(pruned, rivals):
    rivals(*[(1000 + size, (0.99,)) for size in range(10)])
    assert not pruned(999, 0.0, startup_trials=1)


def test_rivals_are_compared_at_the_same_epoch(pruned, rivals):
    rivals((1000, (0.5, 0.9)), (1000, (0.5, 0.3, 0.95)))
    assert not pruned(1000, 0.5)  # what came later does not count
    assert pruned(1000, 0.5, 0.5)  # the median of 0.9 and 0.3 is 0.6
    assert not pruned(1000, 0.5, 0.61)
    assert pruned(1000, 0.7, 0.1)  # nor does what it was before


def test_a_trial_that_has_finished_a_fold_is_left_to_the_race(study, rivals, make_trial):
    rivals((1000, (0.9, 0.9, 0.9)), (1000, (0.9, 0.9, 0.9)))
    trial = make_trial(onnx_bytes=1000, curve=(0.1, 0.1), state=TrialState.RUNNING, directions=2)
    trial.number = len(study.trials)
    pruner = SizeAwarePruner(startup_trials=1, warmup_epochs=0)
    assert pruner.prune(study, trial)
    second = records.CurvePoint(fold=1, train_loss=0.5, valid_loss=0.5, fbeta=0.1, seconds=1.0)
    trial.user_attrs[records.CURVE].append(second.to_list())
    assert not pruner.prune(study, trial)


def test_further_folds_of_rivals_are_not_compared_with_a_first_fold(study, rivals, pruned, make_trial):
    for _ in range(2):
        rival = make_trial(onnx_bytes=1000, curve=(0.9,), directions=2)
        second = records.CurvePoint(fold=1, train_loss=0.5, valid_loss=0.5, fbeta=0.9, seconds=1.0)
        rival.user_attrs[records.CURVE].append(second.to_list())
        study.add_trial(rival)
    assert pruned(1000, 0.1)
    assert not pruned(1000, 0.1, 0.1)  # no rival has a second epoch of the first fold


def test_rivals_that_did_not_reach_the_epoch_do_not_count(pruned, rivals):
    rivals((1000, (0.9,)), (1000, (0.9, 0.9)))
    assert not pruned(1000, 0.1, 0.1)
    rivals((1000, (0.9, 0.9)))
    assert pruned(1000, 0.1, 0.1)


@pytest.mark.parametrize(
    ("state", "counts"),
    [(TrialState.COMPLETE, True), (TrialState.PRUNED, True), (TrialState.FAIL, False)],
)
def test_only_finished_trials_are_rivals(pruned, rivals, state, counts):
    rivals((1000, (0.9,)), (1000, (0.9,)), state=state)
    assert pruned(1000, 0.1) is counts


def test_every_trial_gets_its_warm_up_epochs(pruned, rivals):
    rivals((1000, (0.9, 0.9, 0.9)), (1000, (0.9, 0.9, 0.9)))
    assert not pruned(1000, 0.1, 0.1, warmup_epochs=2)
    assert pruned(1000, 0.1, 0.1, 0.1, warmup_epochs=2)


def test_nothing_is_pruned_before_enough_rivals_are_there(pruned, rivals):
    rivals((1000, (0.9,)), (1000, (0.9,)))
    assert not pruned(1000, 0.1, startup_trials=3)
    rivals((1000, (0.9,)))
    assert pruned(1000, 0.1, startup_trials=3)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"startup_trials": 0}, "1 or more but got 0"),
        ({"warmup_epochs": -1}, "0 or more but got -1"),
        ({"keep": 0}, "above 0"),
    ],
)
def test_senseless_numbers_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        SizeAwarePruner(**fields)
