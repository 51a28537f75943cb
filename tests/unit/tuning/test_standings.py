"""How the points of a study stand, and which of them the race lets go on."""

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from atml.tuning import records
from atml.tuning.grid import key_of
from atml.tuning.race import Race
from atml.tuning.standings import Standings

pytestmark = pytest.mark.filterwarnings("ignore:Heartbeat of storage is supposed")

COMPLETE, PRUNED, RUNNING, FAIL = (
    TrialState.COMPLETE,
    TrialState.PRUNED,
    TrialState.RUNNING,
    TrialState.FAIL,
)
FOLDS = 4


def standings(grid, *trials):
    return Standings.of(grid, FOLDS, trials)


def only(grid, *trials):
    """Return how the points stand if no other than those of the trials may be tried."""
    own = {grid.index[key_of(trial.params)] for trial in trials}
    others = np.array([at not in own for at in range(len(grid.points))])
    return Standings.of(grid, FOLDS, trials, ruled_out=others)


def where(mask):
    return np.flatnonzero(mask).tolist()


class TestStandings:
    def test_the_folds_of_a_trial_are_those_of_its_point(self, make_grid, at_point):
        grid = make_grid()
        found = standings(grid, at_point(grid, 4, state=PRUNED, by_fold=(0.8, 0.9), pruned_by="race"))
        assert found.by_fold[4, :2].tolist() == [0.8, 0.9]
        assert where(~np.isnan(found.by_fold).all(axis=1)) == [4]
        assert where(found.observed) == [4]

    def test_a_point_with_all_folds_is_closed(self, make_grid, at_point):
        grid = make_grid()
        found = standings(grid, at_point(grid, 4, by_fold=(0.9,) * FOLDS))
        assert (where(found.closed), where(found.running)) == ([4], [])

    def test_a_point_that_diverged_on_its_last_fold_is_not_finished(self, make_grid, at_point):
        grid = make_grid()
        lost = [
            at_point(grid, at, state=PRUNED, by_fold=(0.9,) * folds, pruned_by="diverged")
            for at, folds in ((4, FOLDS - 1), (5, FOLDS))  # trained again for its model, it may diverge, too
        ]
        found = standings(grid, *lost, at_point(grid, 3, by_fold=(0.8,) * FOLDS))
        assert (where(found.finished), where(found.closed)) == ([3], [3, 4, 5])
        assert found.leader(1e9) == 3

    @pytest.mark.parametrize("by", list(records.PrunedBy))
    def test_a_rule_closes_a_point_unless_the_trial_gave_way(self, make_grid, at_point, by):
        grid = make_grid()
        found = standings(grid, at_point(grid, 4, state=PRUNED, pruned_by=by))
        open_ = by in ("budget", "duplicate", "stopped", "race")
        assert where(found.closed) == ([] if open_ else [4])

    def test_a_trial_that_failed_leaves_its_point_free_but_its_folds_known(self, make_grid, at_point):
        grid = make_grid()
        found = standings(grid, at_point(grid, 4, state=FAIL, by_fold=(0.8,)))
        assert not found.closed.any()
        assert not found.running.any()
        assert found.by_fold[4, 0] == 0.8

    def test_divergence_is_as_bad_as_can_be(self, make_grid, at_point):
        grid = make_grid()
        found = standings(grid, at_point(grid, 4, state=PRUNED, pruned_by="diverged"))
        assert found.by_fold[4, 0] == 0.0
        assert where(found.closed) == [4]

    def test_divergence_on_a_further_fold_counts_beside_what_was_known(self, make_grid, at_point):
        grid = make_grid()
        found = standings(grid, at_point(grid, 4, state=PRUNED, by_fold=(0.9,), pruned_by="diverged"))
        assert found.by_fold[4, :2].tolist() == [0.9, 0.0]

    def test_a_running_trial_holds_its_point(self, make_grid, at_point):
        grid = make_grid()
        assert where(standings(grid, at_point(grid, 4, state=RUNNING)).running) == [4]

    def test_a_queued_trial_holds_its_point_before_and_after_it_is_claimed(self, storage, make_grid):
        grid = make_grid()
        study = optuna.create_study(storage=storage)
        study.enqueue_trial(grid.points[4].params)
        assert where(standings(grid, *study.trials).running) == [4]
        study.ask()  # none of its parameters has reached the storage yet
        assert study.trials[0].params == {}
        assert where(standings(grid, *study.trials).running) == [4]

    def test_what_is_not_on_the_grid_is_passed_over(self, make_grid, make_trial):
        found = standings(make_grid(), make_trial(onnx_bytes=1234, by_fold=(0.9,) * FOLDS))
        assert not found.closed.any()
        assert not found.observed.any()

    def test_the_leader_is_the_best_of_those_tried_that_can_still_be_shipped(self, make_grid, at_point):
        grid = make_grid()
        found = standings(
            grid,
            at_point(grid, 1, by_fold=(0.9,) * FOLDS),
            at_point(grid, 4, state=PRUNED, by_fold=(0.95,), pruned_by="race"),
            at_point(grid, 7, state=PRUNED, by_fold=(0.99,), pruned_by="pruner"),
        )
        assert (found.leader(1000), found.leader(2000), found.leader(9000)) == (1, 4, 4)
        assert standings(grid).leader(9000) is None

    def test_points_are_told_by_size(self, make_grid):
        grid = make_grid()
        assert where(standings(grid).within(2000)) == list(range(6))
        assert where(standings(grid).within(999)) == []


@pytest.fixture
def race():
    return Race(sizes=(1000, 2000, 4000), chance=0.1, seed=0)


class TestRace:
    @pytest.mark.parametrize(
        ("onnx_bytes", "limit"), [(900, 1000), (1000, 1000), (1001, 2000), (4000, 4000), (5000, 5000)]
    )
    def test_a_file_competes_within_the_smallest_size_that_it_fits(self, race, onnx_bytes, limit):
        assert race.limit_for(onnx_bytes) == limit

    def test_where_nothing_else_is_left_it_leads_for_sure(self, race, make_grid, at_point):
        grid = make_grid()
        assert race.chance_of(only(grid, at_point(grid, 4, state=RUNNING, by_fold=(0.5,))), 4) == 1.0

    def test_what_nobody_has_tried_yet_may_be_better(self, race, make_grid, at_point):
        grid = make_grid()
        alone = at_point(grid, 4, state=RUNNING, by_fold=(0.5,))
        assert 0 < race.chance_of(standings(grid, alone), 4) < 0.5

    def test_what_a_rule_ended_is_no_rival(self, race, make_grid, at_point):
        grid = make_grid()
        best = at_point(grid, 4, state=PRUNED, by_fold=(0.99,), pruned_by="pruner")
        mine = at_point(grid, 5, state=RUNNING, by_fold=(0.5,))
        assert race.chance_of(only(grid, best, mine), 5) == 1.0

    def test_one_that_is_far_behind_leaves_and_the_leader_goes_on(self, race, make_grid, at_point):
        grid = make_grid()
        found = standings(
            grid,
            at_point(grid, 4, by_fold=(0.95, 0.96, 0.95, 0.96)),
            at_point(grid, 1, state=RUNNING, by_fold=(0.6,)),
            at_point(grid, 5, state=RUNNING, by_fold=(0.6,)),
        )
        assert race.chance_of(found, 4) >= race.chance
        assert race.chance_of(found, 5) < race.chance

    def test_larger_rivals_say_nothing_about_the_best_of_a_smaller_size(self, race, make_grid, at_point):
        grid = make_grid()
        better = at_point(grid, 7, by_fold=(0.97,) * FOLDS)
        found = only(grid, better, at_point(grid, 1, state=RUNNING, by_fold=(0.6,)))
        assert race.chance_of(found, 1) == 1.0

    def test_smaller_rivals_count(self, race, make_grid, at_point):
        grid = make_grid()
        better = at_point(grid, 1, by_fold=(0.97,) * FOLDS)
        found = standings(grid, better, at_point(grid, 7, state=RUNNING, by_fold=(0.6,)))
        assert race.chance_of(found, 7) < race.chance

    def test_folds_that_are_hard_for_all_end_nobody(self, race, make_grid, at_point):
        grid = make_grid()
        found = only(
            grid,
            at_point(grid, 4, by_fold=(0.9, 0.8, 0.9, 0.8)),
            at_point(grid, 5, state=RUNNING, by_fold=(0.9, 0.79)),
        )
        assert race.chance_of(found, 5) >= race.chance

    def test_the_leader_of_those_tried_goes_on_however_many_are_untried(self, race, make_grid, at_point):
        grid = make_grid()
        found = standings(
            grid,
            at_point(grid, 4, state=RUNNING, by_fold=(0.9,)),
            at_point(grid, 5, state=RUNNING, by_fold=(0.8,)),
            at_point(grid, 7, state=RUNNING, by_fold=(0.95,)),  # larger than the limit of the others
        )
        assert [race.leads(found, at) for at in (4, 5, 7)] == [True, False, True]

    def test_the_same_trials_give_the_same_verdict_in_every_process(self, race, make_grid, at_point):
        def chance():
            grid = make_grid()
            trials = [at_point(grid, at, by_fold=(0.9 + at / 1000,)) for at in (3, 4, 5)]
            return race.chance_of(standings(grid, *trials), 3)

        assert 0 < chance() == chance() < 1
