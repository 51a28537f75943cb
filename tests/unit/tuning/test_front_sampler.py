"""The sampler in real studies: which points it asks for."""

import collections

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from atml.evaluation import Estimate
from atml.tuning import records
from atml.tuning.grid import key_of
from atml.tuning.sampler import FrontSampler
from atml.tuning.standings import Standings
from tests.unit.tuning.conftest import grid_of

pytestmark = pytest.mark.filterwarnings("ignore:Heartbeat of storage is supposed")

COMPLETE, PRUNED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL
FOLDS = 2


def sampler(grid, seed=0, sizes=(1000, 2000, 4000), ruled_out=()):
    mask = np.isin(np.arange(len(grid.points)), list(ruled_out))

    def standings(trials):
        return Standings.of(grid, FOLDS, trials, ruled_out=mask)

    return FrontSampler(grid, sizes, standings=standings, seed=seed)


def new_study(grid, storage=None, **options):
    return optuna.create_study(
        storage=storage,
        study_name="s",
        directions=["maximize", "minimize"],
        sampler=sampler(grid, **options),
    )


def ask(study, grid):
    """Return a new trial, and the position of its point."""
    trial = study.ask()
    return trial, grid.index[grid.suggest(trial).key]


def record(trial, *by_fold):
    known = Estimate(fbeta=float(np.mean(by_fold)), standard_error=None, threshold=0.2, by_fold=by_fold)
    trial.set_user_attr(records.RESULT, records.result_record(known))


def finish(study, trial, fbeta=0.9):
    record(trial, *(fbeta,) * FOLDS)
    study.tell(trial, [fbeta, records.onnx_bytes(trial)])


def leave(study, trial, by, *by_fold):
    trial.set_user_attr(records.PRUNED_BY, by)
    if by_fold:
        record(trial, *by_fold)
    study.tell(trial, state=PRUNED)


def test_a_small_grid_is_searched_whole_and_each_point_once(storage):
    grid = grid_of()
    study = new_study(grid, storage)
    points = []
    for _ in grid.points:
        trial, at = ask(study, grid)
        finish(study, trial)
        points.append(at)
    assert sorted(points) == list(range(len(grid.points)))
    assert Standings.of(grid, FOLDS, study.trials).closed.all()
    ask(study, grid)  # still gives an answer, which the objective refuses


def test_workers_on_one_database_ask_for_no_point_that_another_trains(storage_url, storage):
    grid = grid_of()
    first = new_study(grid, storage)
    second = optuna.load_study(study_name="s", storage=storage_url, sampler=sampler(grid, seed=1))
    studies = [first, second] * len(grid.points)
    points = [ask(study, grid)[1] for study, _ in zip(studies, grid.points, strict=False)]
    assert sorted(points) == list(range(len(grid.points)))  # all are running at the same time


def test_a_point_that_is_ruled_out_is_never_asked_for():
    grid = grid_of()
    study = new_study(grid, ruled_out=(0, 4, 5))
    points = {ask(study, grid)[1] for _ in range(6)}
    assert points == {1, 2, 3, 6, 7, 8}


def test_a_point_that_waits_is_left_to_its_trial():
    grid = grid_of()
    study = new_study(grid)
    trials = [ask(study, grid) for _ in range(len(grid.points) - 1)]
    (left,) = set(range(len(grid.points))) - {at for _, at in trials}
    again, at = trials[0]
    study.tell(again, state=FAIL)
    late = study.ask()
    study.enqueue_trial(grid.points[at].params)  # between another's start and its suggestion
    assert grid.index[grid.suggest(late).key] == left


def test_it_goes_back_to_a_point_that_left_the_race_and_may_still_lead():
    grid = grid_of()
    study = new_study(grid)
    trials = [ask(study, grid) for _ in grid.points]
    for trial, at in trials:
        if at == 7:
            leave(study, trial, "race", 0.95)
        else:
            finish(study, trial, 0.8)
    assert [ask(study, grid)[1]] == [7]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_leader_that_has_folds_left_is_asked_for_now_and_then(monkeypatch, at_point, share):
    monkeypatch.setattr("atml.tuning.sampler.LEADER_SHARE", share)
    grid = grid_of(steps=15)
    asked = []
    for seed in range(8):
        study = new_study(grid, seed=seed, sizes=(4000,))
        for at, fbeta in ((20, 0.9), (40, 0.6)):
            left = at_point(grid, at, state=PRUNED, by_fold=(fbeta,), pruned_by="race", directions=2)
            study.add_trial(left)
        asked.append(ask(study, grid)[1])
    assert (set(asked) == {20}) is (share == 1.0)


@pytest.mark.parametrize("by", list(records.PrunedBy))
def test_a_point_that_was_given_up_is_asked_for_again_and_one_that_was_judged_is_not(by):
    grid = grid_of()
    study = new_study(grid)
    trials = {at: trial for trial, at in (ask(study, grid) for _ in grid.points)}
    leave(study, trials.pop(4), by)
    free = by in ("budget", "duplicate", "stopped", "race")
    now = Standings.of(grid, FOLDS, study.trials)
    assert (now.closed | now.running)[4] == (not free)
    if free:
        assert ask(study, grid)[1] == 4


def test_a_point_whose_trial_failed_is_free_again():
    grid = grid_of()
    study = new_study(grid)
    trials = [ask(study, grid) for _ in grid.points]
    study.tell(trials[3][0], state=FAIL)
    assert ask(study, grid)[1] == trials[3][1]


def test_workers_that_ask_at_the_same_moment_draw_differently_and_a_seed_repeats():
    grid = grid_of(steps=9)

    def drawn(seed):
        # What another worker asks for is not written yet: each sees an empty study.
        return [ask(new_study(grid, seed=seed + count), grid)[1] for count in range(8)]

    assert drawn(0) == drawn(0)
    assert len(set(drawn(0))) > 4


def test_trials_go_to_what_may_lead_within_the_sizes_that_are_asked_for(at_point):
    grid = grid_of(("linear", 1000), ("optimized_afnet", 2000), steps=7)
    study = new_study(grid, sizes=(2000,))
    good = {at for at, point in enumerate(grid.points) if point.candidate.architecture == "optimized_afnet"}
    for at in (0, max(good)):
        by_fold = (0.95 if at in good else 0.6,) * FOLDS
        study.add_trial(at_point(grid, at, by_fold=by_fold, directions=2))
    asked = []
    for _ in good:
        trial, at = ask(study, grid)
        finish(study, trial, 0.95 if at in good else 0.6)
        asked.append(grid.points[at].candidate.architecture)
    counts = collections.Counter(asked)
    assert counts["optimized_afnet"] > counts["linear"]


def test_a_queued_trial_may_fix_some_parameters_of_a_point():
    grid = grid_of()
    study = new_study(grid)
    name = grid.points[-1].candidate.architecture
    for _ in range(3):
        study.enqueue_trial({"architecture": name})
        trial, _ = ask(study, grid)
        assert trial.params["architecture"] == name


def test_a_size_into_which_nothing_fits_is_passed_over():
    grid = grid_of()
    study = new_study(grid, sizes=(10, 1000))
    assert {ask(study, grid)[1] for _ in range(3)} == {0, 1, 2}


@settings(max_examples=10, deadline=None)
@given(
    sizes=st.lists(st.integers(500, 9000), min_size=1, max_size=3, unique=True),
    steps=st.integers(2, 4),
    seed=st.integers(0, 1000),
)
def test_any_grid_is_searched_whole_and_only_once(sizes, steps, seed):
    names = ("linear", "conv_gru", "optimized_afnet")
    grid = grid_of(*zip(names, sizes, strict=False), steps=steps)
    study = new_study(grid, seed=seed, sizes=sizes)
    keys = {key_of(ask(study, grid)[0].params) for _ in grid.points}
    assert keys == set(grid.index)
