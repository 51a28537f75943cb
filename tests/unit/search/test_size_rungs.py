import optuna
import pytest
from optuna.trial import TrialState

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


def test_rivals_are_compared_at_the_same_epoch_by_their_best_so_far(pruned, rivals):
    rivals((1000, (0.5, 0.9)), (1000, (0.5, 0.3, 0.95)))
    assert not pruned(1000, 0.5)  # what came later does not count
    assert pruned(1000, 0.5, 0.6)  # (0.9 + 0.5) / 2
    assert not pruned(1000, 0.7, 0.1)  # its own best so far is 0.7


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
    [({"startup_trials": 0}, "1 or more but got 0"), ({"warmup_epochs": -1}, "0 or more but got -1")],
)
def test_senseless_numbers_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        SizeAwarePruner(**fields)
