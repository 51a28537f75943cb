import math

import numpy as np
import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.trial import TrialState, create_trial

from atml.pruners import SizeAwarePruner, report, reported, should_prune
from atml.pruners.reports import REPORTED

SIZES = {"size": IntDistribution(1, 10_000)}


def trial_of(size, *curve, state=TrialState.COMPLETE):
    return create_trial(
        state=state,
        params={"size": size},
        distributions=SIZES,
        values=(0.0, float(size)) if state == TrialState.COMPLETE else None,
        user_attrs={REPORTED: {str(step): value for step, value in enumerate(curve)}},
    )


@pytest.fixture
def study(request):
    return optuna.create_study(directions=[getattr(request, "param", "maximize"), "minimize"])


@pytest.fixture
def rivals(study):
    def add(*sizes_and_curves, state=TrialState.COMPLETE):
        for size, curve in sizes_and_curves:
            study.add_trial(trial_of(size, *curve, state=state))

    return add


@pytest.fixture
def pruned(study):
    """Whether a running trial of this size and curve is pruned beside those in the study."""

    def ask(size, *curve, startup_trials=2, warmup_steps=0, **fields):
        trial = trial_of(size, *curve, state=TrialState.RUNNING)
        rule = SizeAwarePruner(
            size="size", startup_trials=startup_trials, warmup_steps=warmup_steps, **fields
        )
        return rule.prune(study, trial)

    return ask


def test_a_trial_behind_the_median_of_the_no_larger_ones_is_pruned(pruned, rivals):
    rivals((1000, (0.8, 0.9)), (1000, (0.7, 0.7)), (900, (0.6, 0.6)))
    assert pruned(1000, 0.65)
    assert not pruned(1000, 0.7)


@pytest.mark.parametrize("study", ["minimize"], indirect=True)
def test_less_is_better_if_it_is_to_be_minimized(pruned, rivals):
    rivals((1000, (0.8,)), (1000, (0.7,)), (900, (0.6,)))
    assert pruned(1000, 0.75)
    assert not pruned(1000, 0.7)


def test_the_share_that_goes_on(pruned, rivals):
    rivals(*[(1000, (value / 10,)) for value in range(11)])
    assert pruned(1000, 0.29, keep=0.7)
    assert not pruned(1000, 0.31, keep=0.7)


def test_if_all_go_on_not_even_the_worst_is_pruned(pruned, rivals):
    rivals(*[(1000, (value / 10,)) for value in range(1, 11)])
    assert not pruned(1000, 0.05, keep=1)


def test_larger_trials_say_nothing_about_a_smaller_one(pruned, rivals):
    rivals((1001, (0.9,)), (2000, (0.9,)), (3000, (0.9,)))
    assert not pruned(1000, 0.1)
    assert pruned(3000, 0.1)


def test_a_trial_smaller_than_all_others_is_never_pruned(pruned, rivals):
    rivals(*[(1000 + size, (0.99,)) for size in range(10)])
    assert not pruned(999, 0.0, startup_trials=1)


def test_rivals_are_compared_at_the_same_step(pruned, rivals):
    rivals((1000, (0.5, 0.9)), (1000, (0.5, 0.3, 0.95)))
    assert not pruned(1000, 0.5)  # what came later does not count
    assert pruned(1000, 0.5, 0.5)  # the median of 0.9 and 0.3 is 0.6
    assert not pruned(1000, 0.5, 0.61)
    assert pruned(1000, 0.7, 0.1)  # nor does what it was before


def test_rivals_that_did_not_reach_the_step_do_not_count(pruned, rivals):
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


def test_every_trial_gets_its_warm_up_steps(pruned, rivals):
    rivals((1000, (0.9, 0.9, 0.9)), (1000, (0.9, 0.9, 0.9)))
    assert not pruned(1000, 0.1, 0.1, warmup_steps=2)
    assert pruned(1000, 0.1, 0.1, 0.1, warmup_steps=2)


def test_nothing_is_pruned_before_enough_rivals_are_there(pruned, rivals):
    rivals((1000, (0.9,)), (1000, (0.9,)))
    assert not pruned(1000, 0.1, startup_trials=3)
    rivals((1000, (0.9,)))
    assert pruned(1000, 0.1, startup_trials=3)


def test_one_rival_may_be_enough(pruned, rivals):
    rivals((1000, (0.9,)))
    assert pruned(1000, 0.1, startup_trials=1)


def test_a_whole_study_with_two_objectives():
    """Small models are good, large ones bad: all large ones but the first are pruned."""
    rule = SizeAwarePruner(size="parameters", startup_trials=1, warmup_steps=1)
    study = optuna.create_study(directions=["maximize", "minimize"], pruner=rule)

    def objective(trial):
        size = trial.suggest_int("size", 1, 100)
        trial.set_user_attr("parameters", size)
        value = 0.9 if size < 10 else 0.2
        for step in range(4):
            report(trial, value, step)
            if should_prune(trial):
                raise optuna.TrialPruned
        return value, size

    for size in (50, 5, 60, 4):
        study.enqueue_trial({"size": size})
    study.optimize(objective, n_trials=4)
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.PRUNED, TrialState.COMPLETE]
    assert list(reported(study.trials[2])) == [0, 1]  # the warm-up step, and the one that ended it


def test_values_are_reported_the_usual_way_with_one_objective():
    study = optuna.create_study(direction="maximize")
    trial = study.ask()
    report(trial, 0.5, 0)
    report(trial, math.nan, 1)
    assert study.trials[0].intermediate_values[0] == 0.5
    assert list(reported(study.trials[0])) == [0, 1]  # the NaN, too


def test_a_trial_whose_value_is_not_a_number_is_pruned_and_no_rival(pruned, rivals):
    rivals((1000, (0.5, math.nan)), (1000, (0.7, 0.7)), (900, (0.6, 0.6)))
    assert pruned(2000, 0.9, math.nan)
    assert pruned(500, 0.9, math.nan)  # even the smallest
    assert not pruned(2000, 0.9, 0.66, startup_trials=2)
    assert not pruned(2000, 0.9, 0.5, startup_trials=3)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("study", ["minimize"], indirect=True)
def test_an_infinite_loss_is_pruned_beside_others(pruned, rivals):
    rivals(*((1000, (loss,)) for loss in (math.inf, math.inf, 0.1, 0.2, 0.3)))
    assert pruned(1000, math.inf, keep=0.7)
    assert not pruned(1000, 0.4, keep=0.7)


def test_a_trial_exactly_at_the_quantile_goes_on(pruned, rivals):
    rivals(*((1000, (float(value),)) for value in range(11)))
    assert not pruned(1000, 3.0, keep=0.7)
    assert pruned(1000, 2.9, keep=0.7)


def test_steps_may_be_other_integers_and_count_once(study):
    trial = study.ask()
    report(trial, 0.5, np.int64(2))
    report(trial, 0.6, 3.0)
    report(trial, 0.9, 3)
    assert reported(study.trials[0]) == {2: 0.5, 3: 0.6}


def test_an_objective_can_be_tried_on_fixed_parameters():
    trial = optuna.trial.FixedTrial({"size": 3})
    report(trial, 0.5, 0)
    assert not should_prune(trial)


def test_a_negative_step_is_refused(study):
    with pytest.raises(ValueError, match="`step` must be 0 or more but got -1"):
        report(study.ask(), 0.5, -1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"startup_trials": 0}, "1 or more but got 0"),
        ({"warmup_steps": -1}, "0 or more but got -1"),
        ({"keep": 0}, "above 0"),
    ],
)
def test_senseless_numbers_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        SizeAwarePruner(**fields)
