from datetime import timedelta

import optuna
import pytest
from optuna.trial import TrialState

from atml.tuning import records
from atml.tuning.progress import progress
from atml.tuning.snapshot import Snapshot

RUNNING, PRUNED = TrialState.RUNNING, TrialState.PRUNED


@pytest.fixture
def state(make_trial):
    """Return the progress of a study that holds trials."""

    def state(phase, *trials):
        study = optuna.create_study(directions=list(phase.directions))
        for trial in trials:
            study.add_trial(trial)
        return progress(Snapshot.of(study, phase, 0.5))

    return state


def curve(*folds):
    """Return the epochs of a trial, each named by its fold."""
    points = [
        records.CurvePoint(fold=fold, train_loss=0.5, valid_loss=0.5, fbeta=0.5, seconds=30.0)
        for fold in folds
    ]
    return [point.to_list() for point in points]


@pytest.mark.parametrize(
    ("known", "trained", "fold", "epoch"),
    [
        ([], [], 0, 0),
        ([], [0, 0], 0, 2),
        ([0], [0, 0, 0], 1, 0),
        ([0], [0, 0, 0, 1], 1, 1),
        ([0], [1, 1], 1, 2),  # the first fold is another trial's
    ],
)
def test_a_running_trial_is_in_the_fold_after_those_that_are_known(
    state, make_phase1, make_trial, known, trained, fold, epoch
):
    by_fold = (0.9,) * len(known) or None
    trial = make_trial(state=RUNNING, by_fold=by_fold, worker={"host": "heart", "pid": 7})
    trial.user_attrs[records.CURVE] = curve(*trained)
    (shown,) = state(make_phase1(training={"epochs": 3}), trial).running
    assert (shown.fold, shown.epoch, shown.epochs) == (fold, epoch, 3)
    assert (shown.host, shown.pid) == ("heart", 7)


def test_the_best_is_the_one_that_the_phase_ranks_first(state, make_phase1, make_trial):
    now = state(
        make_phase1(targets={"onnx_bytes": 1000}),
        make_trial(by_fold=(0.95, 0.95), onnx_bytes=2000),
        make_trial(by_fold=(0.9, 0.9), onnx_bytes=1000),
    )
    assert now.best.number == 1
    assert len(now.finished) == 2


def test_the_time_left_is_that_of_the_trials_left_shared_by_those_that_run(state, make_phase1, make_trial):
    phase = make_phase1(budget={"trials": 6})
    trained = [make_trial(curve=(0.5,) * epochs) for epochs in (2, 4)]  # of 30 s each
    assert state(phase, *trained).seconds_left == 4 * 90
    running = [make_trial(state=RUNNING) for _ in range(2)]
    assert state(phase, *trained, *running).seconds_left == 4 * 90 / 2


def test_the_sooner_end_of_the_budget_counts_and_without_one_nothing_is_said(state, make_phase1, make_trial):
    trained = make_trial(curve=(0.5,) * 4)
    trained.datetime_start = trained.datetime_complete - timedelta(seconds=42)
    assert state(make_phase1(budget={"trials": 100, "minutes": 1}), trained).seconds_left == pytest.approx(18)
    assert state(make_phase1(budget={"trials": 100, "minutes": 0.5}), trained).seconds_left == 0
    assert state(make_phase1(budget={"trials": None}), trained).seconds_left is None
