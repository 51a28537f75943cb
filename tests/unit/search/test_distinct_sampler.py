import collections

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import RandomSampler, TPESampler
from optuna.trial import TrialState

from atml.search import records
from atml.search.ladder import LearningRateLadder
from atml.search.sampler import DistinctSampler, as_point, grid, is_exhausted, taken_points

LADDER = LearningRateLadder(low=1e-3, high=1e-1, steps=3)
SPACE = {
    "architecture": CategoricalDistribution(["a", "b"]),
    "learning_rate": FloatDistribution(1e-3, 1e-1, log=True),
    "channels": IntDistribution(2, 4),
}
POINTS = 2 * 3 * 3


def sampler(seed=0, space=SPACE, ladder=LADDER, wrapped=None):
    wrapped = wrapped or TPESampler(seed=seed, n_startup_trials=5, multivariate=True)
    return DistinctSampler(wrapped, space, ladder=ladder, seed=seed)


def ask(study, space=SPACE):
    trial = study.ask()
    for name, distribution in space.items():
        trial._suggest(name, distribution)
    return trial


def new_study(storage=None, directions=("maximize",), seed=0, **fields):
    return optuna.create_study(
        storage=storage, study_name="s", directions=list(directions), sampler=sampler(seed, **fields)
    )


@pytest.mark.parametrize("directions", [("maximize",), ("maximize", "minimize")])
def test_no_point_of_a_finite_grid_is_drawn_twice_until_all_are_used_up(directions):
    study = new_study(directions=directions)
    points = set()
    for _ in range(POINTS):
        assert not is_exhausted(study, SPACE, LADDER)
        trial = ask(study)
        points.add(as_point(trial.params))
        # The same value everywhere would make a plain TPE repeat itself.
        study.tell(trial, [0.5] * len(directions))
    assert len(points) == POINTS
    assert is_exhausted(study, SPACE, LADDER)
    ask(study)  # still gives an answer, if a repeated one


def test_two_samplers_on_one_database_share_the_grid(storage_url):
    first = new_study(storage_url)
    second = optuna.load_study(study_name="s", storage=storage_url, sampler=sampler(seed=1))
    points = [as_point(ask(study).params) for study in (first, second) * (POINTS // 2)]
    assert len(set(points)) == POINTS  # all are running at the same time
    assert is_exhausted(first, SPACE, LADDER)


def test_same_seed_draws_the_same_and_another_seed_draws_others():
    def drawn(seed):
        study = new_study(seed=seed)
        points = []
        for number in range(POINTS):
            trial = ask(study)
            study.tell(trial, number % 5)
            points.append(as_point(trial.params))
        return points

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_every_learning_rate_is_on_a_rung_and_every_other_value_within_its_range():
    study = new_study(wrapped=RandomSampler(seed=0))
    for _ in range(POINTS):
        params = ask(study).params
        assert params["learning_rate"] in LADDER.values
        assert params["channels"] in (2, 3, 4)


@pytest.mark.parametrize("state", [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, None])
def test_a_failed_trials_point_is_free_again_and_others_are_not(state):
    study = new_study()
    trials = [ask(study) for _ in range(POINTS)]
    freed = trials[7]
    if state is not None:
        study.tell(freed, 0.5 if state == TrialState.COMPLETE else None, state=state)
    assert is_exhausted(study, SPACE, LADDER) is (state != TrialState.FAIL)
    if state == TrialState.FAIL:
        assert ask(study).params == freed.params


@pytest.mark.parametrize("by", list(records.PrunedBy))
def test_a_point_that_was_given_up_is_free_again_and_one_that_was_judged_is_not(by):
    study = new_study()
    given_up = [ask(study) for _ in range(POINTS)][7]
    given_up.set_user_attr(records.PRUNED_BY, by)
    study.tell(given_up, state=TrialState.PRUNED)
    assert is_exhausted(study, SPACE, LADDER) is (by not in ("duplicate", "budget", "stopped"))


def test_a_waiting_trials_point_is_left_to_it():
    study = new_study()
    waiting = {"architecture": "b", "learning_rate": 0.01, "channels": 3}
    points = [as_point(ask(study).params) for _ in range(POINTS - 1)]
    left = next(point for point in grid(SPACE, LADDER) if point not in points)
    study.enqueue_trial(dict(left))
    assert is_exhausted(study, SPACE, LADDER)

    other = new_study()
    other.enqueue_trial(waiting)
    other.ask()  # claimed, but none of its parameters has reached the storage yet
    assert as_point(waiting) in taken_points(other, SPACE, besides=-1)


def test_a_claimed_point_is_known_before_its_parameters_are_written_one_by_one():
    study = new_study()
    trial = study.ask()
    trial._suggest("architecture", SPACE["architecture"])
    assert len(trial.params) == 1
    (point,) = taken_points(study, SPACE, besides=-1)
    assert set(dict(point)) == set(SPACE)
    for name, distribution in SPACE.items():
        trial._suggest(name, distribution)
    assert as_point(trial.params) == point


def test_a_queued_value_counts_over_one_that_was_drawn_beside_it():
    study = new_study()
    for architecture in ("a", "b", "a", "b"):
        study.enqueue_trial({"architecture": architecture})
        trial = study.ask()
        trial._suggest("channels", SPACE["channels"])
        point = dict(next(iter(taken_points(study, SPACE, besides=trial.number - 1) - {()}), ()))
        study.tell(trial, state=TrialState.FAIL)
        assert point["architecture"] == architecture


def test_tpe_draws_the_points_once_it_has_enough_to_learn_from():
    space = {"channels": IntDistribution(1, 400), "learning_rate": SPACE["learning_rate"]}
    ladder = LearningRateLadder(low=1e-3, high=1e-1, steps=7)

    def share_near_the_optimum(wrapped):
        study = new_study(space=space, ladder=ladder, wrapped=wrapped)
        for _ in range(40):
            trial = ask(study, space)
            study.tell(trial, -abs(trial.params["channels"] - 320))
        return sum(abs(trial.params["channels"] - 320) < 60 for trial in study.trials[20:]) / 20

    assert share_near_the_optimum(TPESampler(seed=3, multivariate=True)) > 0.5
    assert share_near_the_optimum(RandomSampler(seed=3)) < 0.5


def test_a_parameter_with_one_value_neither_counts_nor_hinders():
    space = {"architecture": CategoricalDistribution(["only"]), "channels": IntDistribution(1, 3)}
    study = new_study(space=space, ladder=None)
    counts = collections.Counter(ask(study, space).params["channels"] for _ in range(3))
    assert counts == {1: 1, 2: 1, 3: 1}
    assert is_exhausted(study, space, None)


def test_a_continuous_space_is_never_exhausted():
    space = {"learning_rate": FloatDistribution(1e-3, 1e-1)}
    study = new_study(space=space, ladder=None)
    assert len({ask(study, space).params["learning_rate"] for _ in range(20)}) == 20
    assert not is_exhausted(study, space, None)


@settings(max_examples=15, deadline=None)
@given(
    choices=st.integers(1, 3),
    low=st.integers(1, 5),
    width=st.integers(0, 3),
    steps=st.integers(2, 4),
    seed=st.integers(0, 1000),
)
def test_any_finite_space_is_searched_whole_and_only_once(choices, low, width, steps, seed):
    ladder = LearningRateLadder(low=1e-3, high=1e-1, steps=steps)
    space = {
        "architecture": CategoricalDistribution([str(index) for index in range(choices)]),
        "channels": IntDistribution(low, low + width),
        "learning_rate": FloatDistribution(1e-3, 1e-1, log=True),
    }
    count = choices * (width + 1) * steps
    study = new_study(space=space, ladder=ladder, seed=seed, wrapped=RandomSampler(seed=seed))
    assert len({as_point(ask(study, space).params) for _ in range(count)}) == count
    assert is_exhausted(study, space, ladder)
