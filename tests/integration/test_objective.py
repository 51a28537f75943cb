"""The objective in real studies on real databases: what it records, prunes, retries and keeps."""

import contextlib
import socket
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
import torch
from optuna.artifacts import get_all_artifact_meta
from optuna.trial import TrialState

from atml.errors import CannotWrite, ParityError, StorageUnreachable
from atml.export import OnnxClassifier
from atml.search import failures, records, stop
from atml.search.checkpoints import Checkpoints
from atml.search.objective import RULED_OUT, Objective, TrialInterrupted
from atml.service.artifacts import keep_files, open_artifacts

COMPLETE, PRUNED, FAIL, WAITING = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.WAITING


@pytest.fixture
def search(storage, split):
    """Create a study for a phase; return it, and what runs trials at given points in it."""

    def prepare(phase):
        study = optuna.create_study(
            storage=storage,
            study_name=phase.name,
            directions=list(phase.directions),
            sampler=phase.sampler(0),
            pruner=phase.pruner(),
        )

        def run(*points, kind=Objective, **fields):
            for one in points:
                if one is not None:  # else what waits already
                    study.enqueue_trial(one)
            objective = kind(phase=phase, study=study, split=split, device=torch.device("cpu"), **fields)
            before = len(study.trials) - len(points)
            with contextlib.suppress(KeyboardInterrupt):
                study.optimize(objective, n_trials=len(points), catch=(TrialInterrupted,))
            return study.trials[before:]

        return study, run

    return prepare


def point(learning_rate=1e-2, architecture="optimized_afnet"):
    return {records.ARCHITECTURE: architecture, records.LEARNING_RATE: learning_rate}


def test_a_completed_trial_has_every_record_its_model_and_its_pictures(search, make_phase1, tmp_path):
    artifacts = open_artifacts(tmp_path / "artifacts")
    study, run = search(make_phase1())
    (trial,) = run(point(), keep=keep_files(artifacts))
    assert trial.state == COMPLETE
    assert trial.value == pytest.approx(records.fbeta(trial), abs=1e-6)
    assert list(trial.intermediate_values) == [0, 1]
    assert len(records.curve(trial)) == 2
    assert set(trial.user_attrs[records.METRICS]) == set(records.RECORDED_METRICS)
    assert trial.user_attrs[records.WORKER]["host"] == socket.gethostname()
    assert trial.user_attrs[records.CONFIG]["channels"] == 8
    metas = {m.filename: m for m in get_all_artifact_meta(study_or_trial=trial, storage=study._storage)}
    kept = {name: (tmp_path / "artifacts" / meta.artifact_id).read_bytes() for name, meta in metas.items()}
    model = kept.pop("model.onnx")
    assert set(kept) == {"learning-curve.png", "confusion.png", "subjects.png"}
    assert {metas[name].mimetype for name in kept} == {"image/png"}
    assert {content[:4] for content in kept.values()} == {b"\x89PNG"}
    assert len(model) == records.onnx_bytes(trial)
    metadata = OnnxClassifier(model).metadata
    assert (metadata.study, metadata.trial) == (study.study_name, trial.number)
    assert metadata.architecture == "optimized_afnet"


def test_the_same_trial_in_another_process_or_order_has_the_same_result(search, make_phase1):
    _, run = search(make_phase1())
    first, _, again = (*run(point(), point(2e-2)), *search(make_phase1(name="other"))[1](point()))
    assert (first.value, first.user_attrs["metrics"]) == (again.value, again.user_attrs["metrics"])


def test_a_longer_name_of_the_study_makes_no_larger_model(search, make_phase1):
    kept = []
    for name in ("a", "a" * 64):
        _, run = search(make_phase1(name=name))
        (trial,) = run(point(), keep=lambda trial, model, metrics: kept.append(model))
        assert len(kept[-1]) == records.onnx_bytes(trial)
        assert OnnxClassifier(kept[-1]).metadata.study == name
    assert len(kept[0]) == len(kept[1])


def test_a_model_over_the_size_cap_is_never_trained(search, make_phase1):
    _, run = search(make_phase1(pruning={"max_onnx_bytes": 12_000}))
    large, small = run(point(architecture="optimized_afnet"), point(architecture="linear"))
    assert (large.state, large.user_attrs[records.PRUNED_BY]) == (PRUNED, "size")
    assert (
        f"{records.onnx_bytes(large)} ONNX bytes exceed the cap of 12000"
        in large.user_attrs[records.PRUNED_BECAUSE]
    )
    assert not records.was_trained(large)
    assert small.state == COMPLETE


def test_a_neighbour_of_a_bad_trial_is_never_trained_and_names_it(search, make_phase1):
    rule = {"threshold": 1.0, "radius": 1}
    _, run = search(make_phase1(pruning={"neighbourhood": rule}))
    bad, near, far = run(point(1e-2), point(3.16e-2), point(1e-3))
    assert (bad.state, near.state, far.state) == (COMPLETE, PRUNED, COMPLETE)
    assert near.user_attrs[records.PRUNED_BY] == "neighbourhood"
    because = near.user_attrs[records.PRUNED_BECAUSE]
    assert because.startswith(f"trial {bad.number} (learning rate 0.01, 1 rung(s) away) had worst ")
    assert not records.was_trained(near)


def test_a_duplicate_is_never_trained_unless_its_twin_failed(search, make_phase1):
    study, run = search(make_phase1())
    first, second, third = run(point(), point(), point())
    assert [trial.state for trial in (first, second, third)] == [COMPLETE, PRUNED, PRUNED]
    for trial in (second, third):
        assert trial.user_attrs[records.PRUNED_BY] == "duplicate"
        assert trial.user_attrs[records.PRUNED_BECAUSE] == f"trial {first.number} has the same parameters"
    # A failed trial with these parameters is no reason not to try them.
    assert run(point(1e-1), asked_to_leave=lambda: True)[0].state == FAIL
    run(None)
    assert study.trials[-1].state == COMPLETE


@pytest.mark.parametrize("metric", ["worst", "fbeta", "precision"])
def test_divergence_is_pruned_and_marks_its_neighbourhood_whatever_the_metric(search, make_phase1, metric):
    phase = make_phase1(
        search={"learning_rate": {"low": 1.0, "high": 1e30, "steps": 4}},
        training={"gradient_clip": None, "schedule": "constant"},
        pruning={"neighbourhood": {"threshold": 0.1, "radius": 1, "metric": metric}},
    )
    _, run = search(phase)
    diverged, near = run(point(1e30), point(1e20))
    assert (diverged.state, diverged.user_attrs[records.PRUNED_BY]) == (PRUNED, "diverged")
    assert "loss became" in diverged.user_attrs[records.PRUNED_BECAUSE]
    assert records.was_trained(diverged)  # it cost time
    assert (near.state, near.user_attrs[records.PRUNED_BY]) == (PRUNED, "neighbourhood")
    assert f"had {metric} 0.000" in near.user_attrs[records.PRUNED_BECAUSE]


@pytest.mark.parametrize("how", ["asked to leave", "ctrl-c", "stopped by the user"])
def test_an_interrupted_trial_fails_and_its_parameters_wait_for_the_next(search, make_phase1, how):
    study, run = search(make_phase1(training={"epochs": 3}))

    def leave():
        if how == "ctrl-c":
            raise KeyboardInterrupt
        if how == "stopped by the user":
            stop.put_up(study, stop.Stop(by=stop.StoppedBy.USER, because="test"))
        return how == "asked to leave"

    first, waiting = run(point(), asked_to_leave=leave)[0], study.trials[-1]
    assert (first.state, waiting.state) == (FAIL, WAITING)
    assert len(records.curve(first)) == 1  # it finished its epoch
    assert waiting.user_attrs[records.RETRY_OF] == first.number
    assert waiting.system_attrs["fixed_params"] == first.params
    assert len(records.trained(study.trials)) == 0


def test_a_trial_interrupted_twice_is_one_trial_in_the_end(search, make_phase1):
    study, run = search(make_phase1())
    run(point(), asked_to_leave=lambda: True)
    run(None, asked_to_leave=lambda: True)
    assert [trial.state for trial in study.trials] == [FAIL, FAIL, WAITING]
    run(None)
    assert [trial.state for trial in study.trials] == [FAIL, FAIL, COMPLETE]
    assert [trial.user_attrs.get(records.RETRY_OF) for trial in study.trials] == [None, 0, 0]
    assert len({tuple(trial.params.items()) for trial in study.trials}) == 1


def failing(error):
    def fail(*arguments, **options):
        raise error

    return fail


# Where a trial may fail, after how many epochs.
PLACES = [("check_parity", 2), ("to_onnx", 2), ("evaluate", 2), ("train", 0)]


@pytest.mark.parametrize(("place", "epochs"), PLACES)
@pytest.mark.parametrize("error", [ParityError("differ by 1"), ValueError("a slip"), KeyError("slip")])
def test_an_error_that_would_recur_ends_the_trial_and_is_recorded(
    search, make_phase1, monkeypatch, caplog, place, epochs, error
):
    study, run = search(make_phase1(pruning={"neighbourhood": {"threshold": 1.0}}))
    monkeypatch.setattr(f"atml.search.objective.{place}", failing(error))
    (trial,) = run(point())
    assert (trial.state, trial.user_attrs[records.PRUNED_BY]) == (PRUNED, "error")
    assert trial.user_attrs[records.PRUNED_BECAUSE] == failures.in_words(error)
    assert "Traceback" in caplog.text
    assert records.METRICS not in trial.user_attrs
    assert len(records.curve(trial)) == epochs
    assert records.was_trained(trial) is bool(epochs)
    assert [t.state for t in study.trials] == [PRUNED]  # nothing waits to be tried again
    monkeypatch.undo()
    again, near = run(point(), point(1e-1))
    assert again.user_attrs[records.PRUNED_BY] == "duplicate"
    assert near.state == COMPLETE  # without metrics it says nothing of its neighbourhood


def test_an_error_is_a_refusal_for_a_search_with_two_objectives(search, make_phase2, monkeypatch):
    _, run = search(make_phase2())
    monkeypatch.setattr("atml.search.objective.check_parity", failing(ParityError("differ")))
    (trial,) = run({"channels": 4})
    assert trial.constraints == {"error": RULED_OUT}


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError("no GPU"),
        StorageUnreachable("away"),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("CUDA error: an illegal memory access"),
    ],
)
def test_what_may_go_well_another_time_leaves_the_point_free(search, make_phase1, monkeypatch, error):
    study, run = search(make_phase1())
    monkeypatch.setattr("atml.search.objective.check_parity", failing(error))
    with pytest.raises(type(error)):
        run(point())
    assert [trial.state for trial in study.trials] == [FAIL]
    monkeypatch.undo()
    assert run(point())[0].state == COMPLETE


def test_a_disk_without_room_queues_the_trial_again(search, make_phase1):
    study, run = search(make_phase1())
    with pytest.raises(CannotWrite):
        run(point(), keep=failing(CannotWrite("full")))
    assert [trial.state for trial in study.trials] == [FAIL, WAITING]


def test_a_trial_that_ended_with_an_error_leaves_no_checkpoint(search, make_phase1, monkeypatch, tmp_path):
    monkeypatch.setattr("atml.search.objective.check_parity", failing(ParityError("differ")))
    search(make_phase1())[1](point(), checkpoints=Checkpoints(tmp_path / "checkpoints"))
    assert list((tmp_path / "checkpoints").iterdir()) == []


class Overtaken(Objective):
    """Fails so slowly that another worker takes up its trial before it is closed."""

    def __call__(self, trial):
        try:
            return super().__call__(trial)
        except TrialInterrupted:
            swift = replace(Objective(**vars(self)), asked_to_leave=lambda: False)
            study = optuna.load_study(study_name=self.study.study_name, storage=self.study._storage)
            study.optimize(swift, n_trials=1)
            raise


def test_a_retried_trial_is_no_duplicate_of_the_one_that_is_still_closing(search, make_phase1):
    study, run = search(make_phase1())
    run(point(), kind=Overtaken, asked_to_leave=lambda: True)
    assert [trial.state for trial in study.trials] == [FAIL, COMPLETE]


@pytest.mark.parametrize(
    ("sign", "budget", "because"),
    [
        (stop.StoppedBy.TARGETS, {}, "enough"),
        (None, {"minutes": 1e-6}, "minutes are over"),
    ],
)
def test_a_trial_still_running_at_the_end_of_the_study_is_pruned_but_counts(
    search, make_phase1, sign, budget, because
):
    study, run = search(make_phase1(budget=budget, training={"epochs": 3}))
    if sign:
        stop.put_up(study, stop.Stop(by=sign, because="enough"))
    (trial,) = run(point())
    assert (trial.state, trial.user_attrs[records.PRUNED_BY]) == (PRUNED, "stopped")
    assert because in trial.user_attrs[records.PRUNED_BECAUSE]
    assert len(records.curve(trial)) == 1
    assert records.was_trained(trial)
    assert records.metric(trial, "worst") is not None


def test_the_wrapped_pruner_ends_a_trial_that_is_behind(search, make_phase1, make_trial):
    study, run = search(make_phase1(pruning={"startup_trials": 1, "warmup_epochs": 0}))
    ahead = make_trial(architecture="linear", curve=(1.0, 1.0))
    ahead.intermediate_values = {0: 1.0, 1: 1.0}
    ahead.distributions = {**ahead.distributions, **make_phase1().space()}
    study.add_trial(ahead)
    (behind,) = run(point())
    assert (behind.state, behind.user_attrs[records.PRUNED_BY]) == (PRUNED, "pruner")
    assert len(records.curve(behind)) == 1
    assert records.metric(behind, "worst") is not None


def test_with_two_objectives_a_trial_behind_no_larger_ones_is_pruned(search, make_phase2, make_trial):
    study, run = search(make_phase2(pruning={"startup_trials": 1, "warmup_epochs": 0}))
    study.add_trial(make_trial(curve=(1.0, 1.0), onnx_bytes=1, directions=2))
    (behind,) = run({"channels": 8})
    assert (behind.state, behind.user_attrs[records.PRUNED_BY]) == (PRUNED, "pruner")
    assert behind.constraints == {"pruner": RULED_OUT}


def test_over_the_budget_a_trial_is_not_trained(search, make_phase1):
    _, run = search(make_phase1(budget={"trials": 1}))
    first, second = run(point(1e-2), point(1e-1))
    assert first.state == COMPLETE
    assert (second.state, second.user_attrs[records.PRUNED_BY]) == (PRUNED, "budget")


def test_with_two_objectives_the_constraints_say_how_far_the_targets_are(search, make_phase2):
    phase = make_phase2(targets={"fbeta": 0.9, "onnx_bytes": 10_000}, pruning={"max_onnx_bytes": 20_000})
    _, run = search(phase)
    small, large = run({"channels": 4}, {"channels": 12})
    assert small.values == [pytest.approx(records.fbeta(small), abs=1e-6), records.onnx_bytes(small)]
    assert small.constraints == pytest.approx(
        {"fbeta": (0.9 - small.values[0]) / 0.9, "onnx_bytes": small.values[1] / 10_000 - 1}
    )
    assert (large.state, large.user_attrs[records.PRUNED_BY]) == (PRUNED, "size")
    assert large.constraints == {"size": RULED_OUT}  # pruned alone would draw TPE there


def test_models_of_pruned_trials_are_not_kept(search, make_phase1, tmp_path):
    _, run = search(make_phase1(pruning={"max_onnx_bytes": 1}))
    kept = []
    run(point(), keep=lambda trial, model, metrics: kept.append(Path(model.decode())))
    assert kept == []


@pytest.mark.parametrize("epochs_before", [1, 3])
def test_an_interrupted_trial_goes_on_from_its_last_epoch_bit_for_bit(
    search, make_phase1, tmp_path, epochs_before
):
    training = {"epochs": 4, "patience": None}
    (whole,) = search(make_phase1(name="whole", training=training))[1](point())
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    study, run = search(make_phase1(name="cut", training=training))

    def leave_in_time():
        return len(records.curve(study.trials[-1])) == epochs_before

    cut, _waiting = run(point(), checkpoints=checkpoints, asked_to_leave=leave_in_time)
    (again,) = run(None, checkpoints=checkpoints)
    assert (cut.state, len(records.curve(cut)), again.state) == (FAIL, epochs_before, COMPLETE)
    assert records.curve(again)[:epochs_before] == records.curve(cut)  # not trained anew: the seconds too
    assert [replace(p, seconds=0) for p in records.curve(again)] == [
        replace(p, seconds=0) for p in records.curve(whole)
    ]
    assert again.intermediate_values == pytest.approx(whole.intermediate_values, abs=1e-6)
    assert (again.value, again.user_attrs["metrics"]) == (
        pytest.approx(whole.value, abs=1e-6),
        whole.user_attrs["metrics"],
    )
    assert list((tmp_path / "checkpoints").iterdir()) == []  # a finished trial leaves no checkpoint


def test_a_damaged_checkpoint_lets_the_trial_begin_anew(search, make_phase1, tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    _, run = search(make_phase1(name="cut"))
    run(point(), checkpoints=checkpoints, asked_to_leave=lambda: True)
    (kept,) = (tmp_path / "checkpoints").iterdir()
    kept.write_bytes(kept.read_bytes()[:100])
    (again,) = run(None, checkpoints=checkpoints)
    assert again.state == COMPLETE
    assert len(records.curve(again)) == 2
