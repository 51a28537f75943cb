import math
import subprocess
import sys

import optuna
import pytest
from optuna.pruners import BasePruner, NopPruner
from optuna.trial import TrialState

from atml.search import records
from atml.search.ladder import LearningRateLadder
from atml.search.neighbourhood import NeighbourhoodPruner

LADDER = LearningRateLadder(low=1e-4, high=1e-1, steps=7)
BAD = {"worst": 0.7, "fbeta": 0.59}
SIZE = 1000
SQLITE = "sqlite"


class Remembering(BasePruner):
    """Prunes whatever it is asked about, and remembers that it was asked."""

    def __init__(self):
        self.asked = []

    def prune(self, study, trial):
        self.asked.append(trial.number)
        return True


def pruner(wrapped=None, **changes):
    return NeighbourhoodPruner(wrapped or NopPruner(), LADDER, **{"radius": 1, "threshold": 0.6, **changes})


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
        return None if bad is None else bad.number

    return ask


def test_neighbour_of_a_bad_learning_rate_is_pruned_before_training(study):
    """The pruner in a plain Optuna study: nothing of ATML but the names of two attributes."""
    trained = []

    def objective(trial):
        trial.suggest_categorical(records.ARCHITECTURE, ["linear"])
        rate = trial.suggest_float(records.LEARNING_RATE, 1e-4, 1e-1, log=True)
        if trial.should_prune():
            raise optuna.TrialPruned
        trained.append(rate)
        trial.report(0.5, 0)
        trial.set_user_attr(records.METRICS, {"fbeta": 0.9 if rate < 1e-3 else 0.3})
        return 0.5

    rungs = [LADDER.values[index] for index in (3, 4, 2, 5, 0, 1)]
    for rate in rungs:
        study.enqueue_trial({records.ARCHITECTURE: "linear", records.LEARNING_RATE: rate})
    study.optimize(objective, n_trials=len(rungs))
    # Rung 3 is bad and rules out 4 and 2; rung 5 is bad itself; 0 and 1 are far enough and good.
    assert trained == [LADDER.values[index] for index in (3, 5, 0, 1)]
    assert [trial.state for trial in study.trials[:3]] == [
        TrialState.COMPLETE,
        TrialState.PRUNED,
        TrialState.PRUNED,
    ]


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
        ({"fbeta": 0.5999}, {}, True),
        ({"fbeta": 0.6}, {}, False),
        ({"fbeta": math.nan}, {}, True),
        ({"fbeta": 0.0}, {"threshold": 0.0}, False),
        ({"worst": 0.3, "fbeta": 0.8}, {"metric": "worst"}, True),
        ({"worst": 0.8, "fbeta": 0.3}, {"metric": "worst"}, False),
        ({"fbeta": 0.3}, {"metric": "worst"}, False),  # the metric asked for is not there
        (None, {}, False),
    ],
)
def test_a_trial_is_bad_when_its_metric_is_below_the_threshold(
    study, verdict, make_trial, metrics, changes, bad
):
    study.add_trial(make_trial(learning_rate=LADDER.values[3], metrics=metrics))
    assert verdict(3, **changes) == (0 if bad else None)


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
        metrics={"fbeta": 0.0},
        state=TrialState.PRUNED,
        by_fold=by_fold,
        pruned_by=pruned_by,
    )
    study.add_trial(ended)
    assert verdict(4) == (0 if counts else None)


def test_the_offender_is_named_with_its_point_and_its_score(study, make_trial):
    for rung, fbeta in ((1, 0.1), (2, 0.25), (3, 0.9)):
        study.add_trial(make_trial(learning_rate=LADDER.values[rung], metrics={"fbeta": fbeta}))
    new = make_trial(learning_rate=LADDER.values[3], state=TrialState.RUNNING)
    new.number = 3
    bad = pruner().bad_neighbour(study.trials, new)
    assert bad.number == 1
    assert str(bad) == "trial 1 (linear, 1000 bytes, learning rate 0.001) had fbeta 0.250"


def test_the_points_of_a_grid_are_ruled_out_as_its_trials_are(study, make_trial, make_grid):
    grid = make_grid(("linear", 800), ("linear", 1900), ("linear", 4000), ("conv_gru", 1000), steps=7)
    study.add_trial(make_trial(learning_rate=grid.ladder.values[3], metrics=BAD, onnx_bytes=1900))
    rule = NeighbourhoodPruner(NopPruner(), grid.ladder)
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


def test_the_wrapped_pruner_is_asked_once_the_trial_has_begun_to_train(study, make_trial):
    wrapped = Remembering()
    both = pruner(wrapped)
    study.add_trial(make_trial(learning_rate=LADDER.values[3], metrics=BAD))
    fresh = make_trial(learning_rate=LADDER.values[6], state=TrialState.RUNNING)
    reported = make_trial(learning_rate=LADDER.values[3], state=TrialState.RUNNING)
    reported.intermediate_values = {0: 0.5}
    recorded = make_trial(learning_rate=LADDER.values[3], state=TrialState.RUNNING, curve=(0.5,))
    for number, trial in enumerate((fresh, reported, recorded), start=1):
        trial.number = number
    assert not both.prune(study, fresh)
    assert wrapped.asked == []
    assert both.prune(study, reported)
    assert both.prune(study, recorded)
    assert wrapped.asked == [2, 3]


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
        "trial.set_user_attr('architecture', 'linear')\n"
        "trial.set_user_attr('metrics', {'fbeta': 0.1})\n"
        "study.tell(trial, 0.1)\n"
    )
    study.enqueue_trial({records.ARCHITECTURE: "linear", records.LEARNING_RATE: LADDER.values[3]})
    subprocess.run([sys.executable, "-c", script, storage_url], check=True, capture_output=True)
    assert pruner().prune(study, new)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"radius": -1}, "`radius` must be 0 or more rungs but got -1"),
        ({"threshold": 1.5}, "`threshold` must be between 0 and 1 but got 1.5"),
        ({"threshold": math.nan}, "`threshold` must be between 0 and 1 but got nan"),
    ],
)
def test_senseless_rule_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        pruner(**changes)
