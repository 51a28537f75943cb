import math
import subprocess
import sys

import optuna
import pytest
from optuna.trial import TrialState

from atml.tuning import records
from atml.tuning.ladder import LearningRateLadder
from atml.tuning.pruning import FirstFoldPruner, LearningRatePruner

LADDER = LearningRateLadder(low=1e-4, high=1e-1, steps=7)
BAD = {"worst": 0.7, "f1": 0.59}
SIZE = 1000
SQLITE = "sqlite"


def pruner(**changes):
    defaults = {"radius": 1, "threshold": 0.6, "metric": "f1"}
    return LearningRatePruner(None, LADDER, **{**defaults, **changes})


@pytest.fixture(params=["memory", SQLITE])
def study(request):
    storage = request.getfixturevalue("storage") if request.param == SQLITE else None
    return optuna.create_study(storage=storage, direction="maximize", study_name="s", pruner=pruner())


@pytest.fixture
def verdict(study, make_trial):
    """Say which trial rules out a trial of `architecture` at a rung of the ladder, if one does."""

    def ask(rung, architecture="linear", onnx_bytes=SIZE, **changes):
        new = make_trial(
            architecture=architecture,
            learning_rate=LADDER.values[rung],
            onnx_bytes=onnx_bytes,
            state=TrialState.RUNNING,
        )
        new.number = len(study.trials)
        bad = pruner(**changes).bad_neighbour(study.trials, new)
        assert pruner(**changes).prune(study, new) is (bad is not None)
        return None if bad is None else bad.trial.number

    return ask


@pytest.mark.parametrize("radius", [0, 1, 2, 3])
def test_the_radius_is_counted_in_rungs_and_includes_its_end(study, verdict, make_trial, radius):
    study.add_trial(make_trial(learning_rate=LADDER.values[3], metrics=BAD))
    ruled_out = [rung for rung in range(7) if verdict(rung, radius=radius) is not None]
    assert ruled_out == [rung for rung in range(7) if abs(rung - 3) <= radius]


def test_a_learning_rate_is_bad_for_its_architecture_alone(study, verdict, make_trial):
    study.add_trial(make_trial(architecture="conv_gru", learning_rate=LADDER.values[3], metrics=BAD))
    assert verdict(3) is None
    assert verdict(3, architecture="conv_gru") == 0


@pytest.mark.parametrize(
    ("metrics", "changes", "bad"),
    [
        ({"f1": 0.5999}, {}, True),
        ({"f1": 0.6}, {}, False),
        ({"f1": math.nan}, {}, True),
        ({"f1": 0.0}, {"threshold": 0.0}, False),
        ({"worst": 0.3, "f1": 0.8}, {"metric": "worst"}, True),
        ({"worst": 0.8, "f1": 0.3}, {"metric": "worst"}, False),
        ({"f1": 0.3}, {"metric": "worst"}, False),  # the metric asked for is not there
        (None, {}, False),
    ],
)
def test_a_trial_is_bad_when_its_metric_is_below_the_threshold(
    study, verdict, make_trial, metrics, changes, bad
):
    study.add_trial(make_trial(learning_rate=LADDER.values[3], metrics=metrics))
    assert verdict(3, **changes) == (0 if bad else None)


def test_fbeta_is_that_by_which_trials_are_ranked(study, verdict, make_trial):
    study.add_trial(make_trial(learning_rate=LADDER.values[3], metrics={"fbeta": 0.3}, by_fold=(0.7,)))
    study.add_trial(make_trial(learning_rate=LADDER.values[5], metrics={"fbeta": 0.7}, by_fold=(0.3,)))
    assert [verdict(rung, metric="fbeta", radius=0) for rung in (3, 5)] == [None, 1]


@pytest.mark.parametrize(
    ("state", "counts"),
    [
        (TrialState.COMPLETE, True),
        (TrialState.PRUNED, True),
        (TrialState.RUNNING, False),
        (TrialState.FAIL, False),
    ],
)
def test_only_finished_trials_testify(study, verdict, make_trial, state, counts):
    study.add_trial(make_trial(learning_rate=LADDER.values[3], metrics=BAD, state=state, by_fold=(0.59,)))
    assert verdict(3) == (0 if counts else None)


@pytest.mark.parametrize(
    ("onnx_bytes", "ruled_out"),
    [(SIZE // 2 - 1, False), (SIZE // 2, True), (2 * SIZE, True), (2 * SIZE + 1, False)],
)
def test_a_learning_rate_is_bad_for_networks_of_about_its_size_alone(
    study, verdict, make_trial, onnx_bytes, ruled_out
):
    study.add_trial(make_trial(learning_rate=LADDER.values[3], metrics=BAD, onnx_bytes=SIZE))
    assert (verdict(3, onnx_bytes=onnx_bytes) is not None) is ruled_out


@pytest.mark.parametrize(
    ("by_fold", "pruned_by", "counts"),
    [
        ((0.59,), "race", True),
        ((0.59,), "stopped", True),  # in its second fold
        (None, "stopped", False),
        (None, "pruner", False),
        (None, "error", False),
        (None, "diverged", True),  # nothing does worse
    ],
)
def test_a_trial_testifies_once_it_has_finished_a_fold_or_diverged(
    study, verdict, make_trial, by_fold, pruned_by, counts
):
    ended = make_trial(
        learning_rate=LADDER.values[3],
        metrics={"f1": 0.0},
        state=TrialState.PRUNED,
        by_fold=by_fold,
        pruned_by=pruned_by,
    )
    study.add_trial(ended)
    assert verdict(4) == (0 if counts else None)


def test_the_offender_is_named_with_its_point_and_its_score(study, make_trial):
    for rung, fbeta in ((1, 0.1), (2, 0.25), (3, 0.9)):
        study.add_trial(make_trial(learning_rate=LADDER.values[rung], metrics={"f1": fbeta}))
    new = make_trial(learning_rate=LADDER.values[3], state=TrialState.RUNNING)
    new.number = 3
    rule = pruner()
    bad = rule.bad_neighbour(study.trials, new)
    assert rule.in_words(bad) == "trial 1 (linear, 1000 bytes, learning rate 0.001) had f1 0.250"


def test_the_points_of_a_grid_are_ruled_out_as_its_trials_are(study, make_trial, make_grid):
    grid = make_grid(("linear", 800), ("linear", 1900), ("linear", 4000), ("conv_gru", 1000), steps=7)
    study.add_trial(make_trial(learning_rate=grid.ladder.values[3], metrics=BAD, onnx_bytes=1900))
    rule = LearningRatePruner(None, grid.ladder, radius=1, threshold=0.6, metric="f1")
    trials = study.get_trials()
    for point, ruled_out in zip(grid.points, rule.ruled_out(trials, grid), strict=True):
        new = make_trial(
            architecture=point.candidate.architecture,
            learning_rate=point.learning_rate,
            onnx_bytes=point.candidate.onnx_bytes,
            state=TrialState.RUNNING,
        )
        new.number = 1
        assert (rule.bad_neighbour(trials, new) is not None) == ruled_out
    assert (
        rule.ruled_out(trials, grid).sum() == 3
    )  # 1900 bytes alone: the others are not within a factor of 2


def test_a_trial_has_begun_once_it_was_trained_for_an_epoch(study, make_trial):
    """From then on its neighbours say nothing, and the wrapped pruner is asked."""
    study.add_trial(make_trial(learning_rate=LADDER.values[3], metrics=BAD))
    fresh = make_trial(learning_rate=LADDER.values[3], state=TrialState.RUNNING)
    begun = make_trial(learning_rate=LADDER.values[3], state=TrialState.RUNNING, curve=(0.5,))
    for number, trial in enumerate((fresh, begun), start=1):
        trial.number = number
    assert [pruner().has_begun(trial) for trial in (fresh, begun)] == [False, True]
    assert pruner().prune(study, fresh)
    assert not pruner().prune(study, begun)  # none is wrapped


def test_the_verdict_of_another_process_counts(storage, storage_url, make_trial):
    study = optuna.create_study(storage=storage, study_name="s", direction="maximize")
    new = make_trial(learning_rate=LADDER.values[4], state=TrialState.RUNNING)
    new.number = 1
    assert not pruner().prune(study, new)
    script = (
        "import optuna, sys\n"
        "study = optuna.load_study(study_name='s', storage=sys.argv[1])\n"
        "trial = study.ask()\n"
        "trial.suggest_categorical('architecture', ['linear', 'optimized_afnet', 'conv_gru'])\n"
        "trial.suggest_float('learning_rate', 1e-5, 1.0, log=True)\n"
        "trial.suggest_int('onnx_bytes', 1, 10**6, log=True)\n"
        "trial.set_user_attr('result', {'metrics': {'f1': 0.1}})\n"
        "study.tell(trial, 0.1)\n"
    )
    study.enqueue_trial(
        {
            records.ARCHITECTURE: "linear",
            records.LEARNING_RATE: LADDER.values[3],
            records.ONNX_BYTES: SIZE,
        }
    )
    subprocess.run([sys.executable, "-c", script, storage_url], check=True, capture_output=True)
    assert pruner().prune(study, new)


def first_fold_pruner():
    return FirstFoldPruner(startup_trials=1, warmup_steps=0)


def with_second_fold(trial, fbeta):
    second = records.CurvePoint(fold=1, train_loss=0.5, valid_loss=0.5, fbeta=fbeta, seconds=1.0)
    trial.user_attrs[records.CURVE].append(second.to_list())
    return trial


def test_trials_are_compared_by_the_epochs_of_the_first_fold(make_trial):
    study = optuna.create_study(directions=["maximize", "minimize"])
    study.add_trial(with_second_fold(make_trial(curve=(0.9,), directions=2), 0.9))
    behind = make_trial(curve=(0.1,), state=TrialState.RUNNING, directions=2)
    assert first_fold_pruner().prune(study, behind)
    further = make_trial(curve=(0.1, 0.1), state=TrialState.RUNNING, directions=2)
    assert not first_fold_pruner().prune(study, further)  # no rival has a second epoch of the first fold
