import optuna
import pytest
from optuna.trial import TrialState

from atml.tuning import records
from atml.tuning.phases import parse_spec

PRUNED, RUNNING, FAIL = TrialState.PRUNED, TrialState.RUNNING, TrialState.FAIL
STEPS = 5  # of the ladder of the tests' phase 1


@pytest.fixture
def grid(make_grid):
    return make_grid(("linear", 1000), ("conv_gru", 4000), steps=STEPS)


@pytest.fixture
def exhausted(make_phase1, grid, at_point):
    """Whether nothing is left when all points but one are known, and this is how that one stands."""

    def exhausted(last=None, **changes):
        trials = [at_point(grid, at, by_fold=(0.9, 0.9)) for at in range(len(grid.points) - 1)]
        if last is not None:
            trials.append(at_point(grid, len(grid.points) - 1, **last))
        for number, trial in enumerate(trials):
            trial.number = number
        return make_phase1(**changes).is_exhausted(grid, trials)

    return exhausted


def test_a_search_has_points_left_until_each_is_known_running_or_ruled_out(exhausted):
    assert not exhausted()
    assert exhausted({"by_fold": (0.9, 0.9)})
    assert exhausted({"state": RUNNING})
    assert exhausted({"state": PRUNED, "pruned_by": "error"})
    assert not exhausted({"state": PRUNED, "by_fold": (0.9,), "pruned_by": "race"})
    assert not exhausted({"state": FAIL})


def test_a_point_beside_a_bad_one_is_no_point_left(make_phase1, grid, at_point):
    rule = {"neighbourhood": {"threshold": 0.6, "radius": STEPS}}
    bad = [at_point(grid, at, by_fold=(0.1, 0.1), metrics={"worst": 0.1}) for at in (0, STEPS)]
    assert make_phase1(pruning=rule).is_exhausted(grid, bad)
    assert not make_phase1(pruning=rule).is_exhausted(grid, bad[:1])  # the other architecture is free


def test_phase_1_has_one_objective_and_the_others_have_two(make_phase1, make_phase2):
    joint = parse_spec({"phase": "joint", "name": "a"}, source="test")
    assert (make_phase1().metric_names(), make_phase1().values(0.9, 1000)) == (["fbeta"], (0.9,))
    for phase in (make_phase2(), joint):
        assert (phase.metric_names(), phase.values(0.9, 1000)) == (["fbeta", "onnx_bytes"], (0.9, 1000.0))


def test_each_worker_draws_differently_and_each_alike_when_it_starts_again(make_phase1, grid):
    def drawn(worker):
        asked = []
        for _ in range(4):
            study = optuna.create_study(sampler=make_phase1(seed=3).sampler(worker, grid))
            asked += [grid.suggest(study.ask()).key for _ in range(4)]
        return asked

    assert drawn(0) == drawn(0)
    assert drawn(0) != drawn(1)


def test_no_targets_are_never_met_and_one_alone_is_enough(make_phase1, make_trial):
    trial = make_trial(by_fold=(0.9, 0.9), onnx_bytes=1000)
    assert not make_phase1().meets_targets(trial)
    assert make_phase1(targets={"fbeta": 0.9}).meets_targets(trial)
    assert make_phase1(targets={"onnx_bytes": 1000}).meets_targets(trial)
    assert not make_phase1(targets={"fbeta": 0.95, "onnx_bytes": 1000}).meets_targets(trial)
    assert make_phase1(targets={"fbeta": 0.95, "onnx_bytes": 999}).failed_targets(trial) == (
        "fbeta",
        records.ONNX_BYTES,
    )
