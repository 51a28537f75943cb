"""The objective in real studies on real databases: what it records, prunes, retries and keeps."""

import contextlib
import socket
from dataclasses import replace

import optuna
import pytest
import torch
from optuna.artifacts import get_all_artifact_meta
from optuna.trial import TrialState

from atml.errors import CannotWrite, ParityError, StorageUnreachable
from atml.export import OnnxClassifier
from atml.service.artifacts import keep_files, open_artifacts
from atml.service.studies import create_or_resume
from atml.service.worker import run_trial
from atml.tuning import records, stop
from atml.tuning.checkpoints import Checkpoints
from atml.tuning.fit import Trainer
from atml.tuning.objective import Objective
from atml.tuning.retry import MOST_DEATHS, retry_after_death
from atml.words import error_in_words

COMPLETE, PRUNED, FAIL, WAITING = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.WAITING
FOLDS = 2


class Search:
    """A study, and what runs trials at given points in it."""

    def __init__(self, storage, phase, dataset):
        self.stored = create_or_resume(storage, phase, dataset)
        self.study, self.phase, self.grid = self.stored.study, phase, self.stored.grid
        self.study.sampler = phase.sampler(0, self.grid)
        self.trainer = Trainer(phase, dataset, torch.device("cpu"))

    def params(self, learning_rate, architecture):
        """Return the smallest network of an architecture at a learning rate."""
        for point in self.grid.points:
            if (point.candidate.architecture, point.learning_rate) == (architecture, learning_rate):
                return point.params
        raise AssertionError((learning_rate, architecture))

    def objective(self, phase=None, **fields):
        return Objective(
            phase=phase or self.phase, study=self.study, grid=self.grid, trainer=self.trainer, **fields
        )

    def run(self, *points, phase=None, **fields):
        """Run a trial at each of the points; None is what waits already."""
        for one in points:
            if one is not None:
                self.study.enqueue_trial(self.params(*one))
        objective = self.objective(phase, **fields)
        before = len(self.study.trials) - len(points)
        with contextlib.suppress(KeyboardInterrupt):
            for _ in points:
                run_trial(self.study, self.study.ask(), objective)
        return self.study.trials[before:]

    def add(self, make_trial, learning_rate, architecture, **fields):
        """Add a finished trial at a point of the grid."""
        params = self.params(learning_rate, architecture)
        made = make_trial(
            architecture=architecture,
            learning_rate=learning_rate,
            onnx_bytes=fields.pop("onnx_bytes", params[records.ONNX_BYTES]),
            directions=len(self.phase.directions),
            **fields,
        )
        made.params = params
        made.distributions = self.grid.space()
        self.study.add_trial(made)


@pytest.fixture
def search(storage, dataset):
    return lambda phase: Search(storage, phase, dataset)


def point(learning_rate=1e-2, architecture="optimized_afnet"):
    return learning_rate, architecture


def folds_of(trial):
    return [epoch.fold for epoch in records.curve(trial)]


def without_seconds(trial):
    return [replace(epoch, seconds=0) for epoch in records.curve(trial)]


def result_of(trial):
    return trial.values, trial.user_attrs[records.RESULT]


class TestRecords:
    def test_a_completed_trial_has_every_record_its_model_and_its_picture(
        self, search, make_phase1, tmp_path
    ):
        artifacts = open_artifacts(tmp_path / "artifacts")
        here = search(make_phase1())
        (trial,) = here.run(point(), keep=keep_files(artifacts))
        assert trial.state == COMPLETE
        assert trial.value == pytest.approx(records.fbeta(trial), abs=1e-6)
        assert list(trial.intermediate_values) == [0, 1, 2, 3]
        assert folds_of(trial) == [0, 0, 1, 1]
        assert list(records.folds(trial)) == [0, 1]
        assert records.estimate(trial).folds == FOLDS
        assert set(records.metrics(trial)) == set(records.RECORDED_METRICS)
        assert all(trial.user_attrs[name] == records.metric(trial, name) for name in records.COLUMNS)
        assert trial.user_attrs[records.WORKER]["host"] == socket.gethostname()
        assert records.onnx_bytes(trial) <= 12_000
        metas = {m.filename: m for m in get_all_artifact_meta(trial, storage=here.study._storage)}
        kept = {n: (tmp_path / "artifacts" / m.artifact_id).read_bytes() for n, m in metas.items()}
        model = kept.pop("model.onnx")
        assert set(kept) == {"trial.png"}
        assert {metas[name].mimetype for name in kept} == {"image/png"}
        assert {content[:4] for content in kept.values()} == {b"\x89PNG"}
        assert len(model) == records.onnx_bytes(trial)
        metadata = OnnxClassifier(model).metadata
        assert metadata.architecture == "optimized_afnet"
        assert metadata.threshold == records.estimate(trial).threshold

    def test_every_subject_is_held_out_by_one_fold(self, search, make_phase1, dataset):
        (trial,) = search(make_phase1()).run(point())
        held_out = [name for fold in records.folds(trial).values() for name in fold.subjects]
        assert sorted(held_out) == sorted(set(dataset.subjects.tolist()))

    def test_the_same_trial_in_another_study_or_order_has_the_same_result(self, search, make_phase1):
        first, _ = search(make_phase1()).run(point(), point(1e-1))
        _, again = search(make_phase1(name="other")).run(point(1e-1), point())
        assert result_of(first) == result_of(again)

    def test_the_name_of_the_study_is_no_part_of_the_model(self, search, make_phase1):
        kept = []
        for name in ("a", "a" * 64):
            search(make_phase1(name=name)).run(point(), keep=lambda trial, model, _: kept.append(model))
        assert kept[0] == kept[1]

    def test_with_two_objectives_the_values_are_fbeta_and_size(self, search, make_phase2):
        (trial,) = search(make_phase2()).run(point())
        assert trial.values == [
            pytest.approx(records.fbeta(trial), abs=1e-6),
            trial.params[records.ONNX_BYTES],
        ]


class TestUntrained:
    def test_a_neighbour_of_a_bad_trial_is_never_trained_and_names_it(self, search, make_phase1):
        phase = make_phase1(pruning={"neighbourhood": {"threshold": 1.0, "radius": 1}})
        bad, near, far = search(phase).run(point(1e-2), point(3.16e-2), point(1e-3))
        assert (bad.state, near.state, far.state) == (COMPLETE, PRUNED, COMPLETE)
        assert near.user_attrs[records.PRUNED_BY] == "neighbourhood"
        because = near.user_attrs[records.PRUNED_BECAUSE]
        size = records.onnx_bytes(bad)
        assert because.startswith(
            f"trial {bad.number} (optimized_afnet, {size} bytes, learning rate 0.01) had worst "
        )
        assert not records.was_trained(near)

    def test_a_duplicate_is_never_trained_unless_its_twin_failed(self, search, make_phase1):
        here = search(make_phase1())
        first, second, third = here.run(point(), point(), point())
        assert [trial.state for trial in (first, second, third)] == [COMPLETE, PRUNED, PRUNED]
        for trial in (second, third):
            assert trial.user_attrs[records.PRUNED_BY] == "duplicate"
            because = f"trial {first.number} has the same parameters"
            assert trial.user_attrs[records.PRUNED_BECAUSE] == because
        # A failed trial with these parameters is no reason not to try them.
        assert here.run(point(1e-1), asked_to_leave=lambda: True)[0].state == FAIL
        here.run(None)
        assert here.study.trials[-1].state == COMPLETE

    def test_over_the_budget_a_trial_is_not_trained(self, search, make_phase1):
        first, second = search(make_phase1(budget={"trials": 1})).run(point(1e-2), point(1e-1))
        assert first.state == COMPLETE
        assert (second.state, second.user_attrs[records.PRUNED_BY]) == (PRUNED, "budget")

    def test_parameters_that_are_no_point_of_the_grid_end_the_trial_with_that_reason(
        self, search, make_phase1
    ):
        here = search(make_phase1())
        params = here.params(*point())
        here.study.enqueue_trial({**params, records.LEARNING_RATE: 0.0123})
        (trial,) = here.run(None)
        assert (trial.state, trial.user_attrs[records.PRUNED_BY]) == (PRUNED, "error")
        assert "is not a point of this study's grid" in trial.user_attrs[records.PRUNED_BECAUSE]


class TestRace:
    """The rival is far better, so a trial with a first fold of its own has next to no chance to lead."""

    @pytest.fixture
    def behind(self, search, make_phase1, make_trial):
        here = search(make_phase1(pruning={"race_chance": 0.5}))
        here.add(make_trial, 1e-1, "linear", by_fold=(0.999,) * FOLDS)
        return here

    def test_a_trial_that_cannot_lead_leaves_after_a_fold_and_keeps_what_it_has_shown(self, behind):
        kept = []
        (trial,) = behind.run(point(), keep=lambda trial, model, metrics: kept.append(model))
        assert (trial.state, trial.user_attrs[records.PRUNED_BY]) == (PRUNED, "race")
        because = trial.user_attrs[records.PRUNED_BECAUSE]
        assert because.startswith("its chance of being the best within 12000 bytes is 0.")
        assert folds_of(trial) == [0, 0]
        assert list(records.folds(trial)) == [0]
        assert records.estimate(trial).folds == 1
        assert records.was_trained(trial)
        assert kept == []

    def test_a_later_trial_at_its_point_trains_the_missing_folds_alone(self, behind, search, make_phase1):
        everyone = make_phase1()
        (left,) = behind.run(point())
        (again,) = behind.run(point(), phase=everyone)
        assert again.state == COMPLETE
        assert folds_of(again) == [1, 1]
        assert records.folds(again)[0].to_dict() == records.folds(left)[0].to_dict()
        (whole,) = search(make_phase1(name="whole")).run(point())
        assert result_of(again) == result_of(whole)

    def test_a_later_trial_trains_one_more_fold_at_least_so_that_a_study_always_ends(self, behind):
        """The sampler asked for the point again; were it sent away untrained, it would ask for ever."""
        behind.run(point())
        (again,) = behind.run(point())
        assert folds_of(again) == [1, 1]
        assert again.state == COMPLETE  # it was the last fold

    def test_the_leader_goes_on(self, search, make_phase1, make_trial):
        here = search(make_phase1(pruning={"race_chance": 0.5}))
        here.add(make_trial, 1e-1, "linear", by_fold=(0.01,) * FOLDS)
        assert here.run(point())[0].state == COMPLETE

    def test_a_point_of_which_all_folds_are_known_is_trained_once_more_for_its_model(
        self, search, make_phase1, monkeypatch
    ):
        here = search(make_phase1())
        whole = []
        with pytest.raises(OSError, match="gone"):
            here.run(point(), keep=failing(OSError("gone")))
        (again,) = here.run(None, keep=lambda trial, model, _: whole.append(len(model)))
        assert again.state == COMPLETE
        assert folds_of(again) == [1, 1]
        assert records.estimate(again).folds == FOLDS
        assert whole == [records.onnx_bytes(again)]


@pytest.mark.parametrize("metric", ["worst", "fbeta", "precision"])
def test_divergence_is_pruned_and_marks_its_neighbourhood_whatever_the_metric(search, make_phase1, metric):
    phase = make_phase1(
        search={"learning_rate": {"low": 1.0, "high": 1e30, "steps": 4}},
        training={"gradient_clip": None, "schedule": "constant"},
        pruning={"neighbourhood": {"threshold": 0.1, "radius": 1, "metric": metric}},
    )
    kept = []
    diverged, near = search(phase).run(
        point(1e30), point(1e20), keep=lambda trial, model, metrics: kept.append(model)
    )
    assert (diverged.state, diverged.user_attrs[records.PRUNED_BY]) == (PRUNED, "diverged")
    assert "loss became" in diverged.user_attrs[records.PRUNED_BECAUSE]
    assert records.was_trained(diverged)  # it cost time
    assert (near.state, near.user_attrs[records.PRUNED_BY]) == (PRUNED, "neighbourhood")
    assert f"had {metric} 0.000" in near.user_attrs[records.PRUNED_BECAUSE]
    assert kept == []


class TestInterruptions:
    @pytest.mark.parametrize("how", ["asked to leave", "ctrl-c", "stopped by the user"])
    def test_an_interrupted_trial_fails_and_its_parameters_wait_for_the_next(self, search, make_phase1, how):
        here = search(make_phase1(training={"epochs": 3}))

        def leave():
            if how == "ctrl-c":
                raise KeyboardInterrupt
            if how == "stopped by the user":
                stop.request_stop(here.study, stop.Stop(by=stop.StoppedBy.USER, because="test"))
            return how == "asked to leave"

        first, waiting = here.run(point(), asked_to_leave=leave)[0], here.study.trials[-1]
        assert (first.state, waiting.state) == (FAIL, WAITING)
        assert len(records.curve(first)) == 1  # it finished its epoch
        assert waiting.user_attrs[records.RETRY_OF] == first.number
        assert waiting.system_attrs["fixed_params"] == first.params
        assert len(records.trained(here.study.trials)) == 0

    def test_a_trial_interrupted_twice_is_one_trial_in_the_end(self, search, make_phase1):
        here = search(make_phase1())
        here.run(point(), asked_to_leave=lambda: True)
        here.run(None, asked_to_leave=lambda: True)
        assert [trial.state for trial in here.study.trials] == [FAIL, FAIL, WAITING]
        here.run(None)
        trials = here.study.trials
        assert [trial.state for trial in trials] == [FAIL, FAIL, COMPLETE]
        assert [trial.user_attrs.get(records.RETRY_OF) for trial in trials] == [None, 0, 0]
        assert len({tuple(trial.params.items()) for trial in trials}) == 1

    @pytest.mark.parametrize("epochs_before", [1, 3, 5])  # of 4 on each of two folds
    def test_an_interrupted_trial_goes_on_from_its_last_epoch_bit_for_bit(
        self, search, make_phase1, tmp_path, epochs_before
    ):
        training = {"epochs": 4}
        (whole,) = search(make_phase1(name="whole", training=training)).run(point())
        checkpoints = Checkpoints(tmp_path / "checkpoints")
        here = search(make_phase1(name="cut", training=training))

        def leave_in_time():
            return len(records.curve(here.study.trials[-1])) == epochs_before

        cut, _waiting = here.run(point(), checkpoints=checkpoints, asked_to_leave=leave_in_time)
        (again,) = here.run(None, checkpoints=checkpoints)
        assert (cut.state, len(records.curve(cut)), again.state) == (FAIL, epochs_before, COMPLETE)
        # Not trained anew: the seconds too.
        assert records.curve(again)[:epochs_before] == records.curve(cut)
        assert without_seconds(again) == without_seconds(whole)
        assert again.intermediate_values == pytest.approx(whole.intermediate_values, abs=1e-6)
        assert result_of(again) == result_of(whole)
        assert list((tmp_path / "checkpoints").iterdir()) == []  # a finished trial leaves no checkpoint

    @pytest.mark.parametrize("how", ["asked to leave", "killed"])
    def test_between_two_folds_it_goes_on_with_the_next_and_ignores_the_checkpoint_of_the_last(
        self, search, make_phase1, tmp_path, how
    ):
        (whole,) = search(make_phase1(name="whole")).run(point())
        checkpoints = Checkpoints(tmp_path / "checkpoints")
        here = search(make_phase1(name="cut"))

        def leave_between():
            between = records.RESULT in here.study.trials[-1].user_attrs
            if between and how == "killed":
                raise Killed
            return between

        if how == "killed":
            here.study.enqueue_trial(here.params(*point()))
            with pytest.raises(Killed):
                here.objective(checkpoints=checkpoints, asked_to_leave=leave_between)(here.study.ask())
            here.study.tell(0, state=FAIL)  # whoever notices does this
            here.study.add_trial(retry_after_death(here.study.trials[0]))
        else:
            here.run(point(), checkpoints=checkpoints, asked_to_leave=leave_between)
        assert len(list((tmp_path / "checkpoints").iterdir())) == 1
        (again,) = here.run(None, checkpoints=checkpoints)
        assert folds_of(here.study.trials[0]) == [0, 0]
        assert folds_of(again) == [1, 1]
        assert result_of(again) == result_of(whole)
        assert list((tmp_path / "checkpoints").iterdir()) == []

    def test_a_damaged_checkpoint_lets_the_trial_begin_anew(self, search, make_phase1, tmp_path):
        checkpoints = Checkpoints(tmp_path / "checkpoints")
        here = search(make_phase1(name="cut"))
        here.run(point(), checkpoints=checkpoints, asked_to_leave=lambda: True)
        (kept,) = (tmp_path / "checkpoints").iterdir()
        kept.write_bytes(kept.read_bytes()[:100])
        (again,) = here.run(None, checkpoints=checkpoints)
        assert again.state == COMPLETE
        assert folds_of(again) == [0, 0, 1, 1]

    def test_a_disk_without_room_queues_the_trial_again(self, search, make_phase1):
        here = search(make_phase1())
        with pytest.raises(CannotWrite):
            here.run(point(), keep=failing(CannotWrite("full")))
        assert [trial.state for trial in here.study.trials] == [FAIL, WAITING]

    @pytest.mark.parametrize("error", [CannotWrite("full"), KeyboardInterrupt()])
    def test_a_trial_interrupted_before_its_first_record_is_queued_again(
        self, search, make_phase1, monkeypatch, error
    ):
        here = search(make_phase1())
        interrupted = {records.RETRY_OF: 7, records.DEATHS: 3}
        here.study.enqueue_trial(here.params(*point()), user_attrs=interrupted)
        monkeypatch.setattr(optuna.Trial, "set_user_attr", failing(error))
        with contextlib.suppress(CannotWrite):
            here.run(None)
        failed, waiting = here.study.trials
        assert (failed.state, waiting.state) == (FAIL, WAITING)
        assert waiting.system_attrs["fixed_params"] == here.params(*point())
        assert interrupted.items() <= waiting.user_attrs.items()


class Killed(BaseException):
    """Ends a process at once: the objective does not handle it."""


def failing(error):
    def fail(*arguments, **options):
        raise error

    return fail


# Where a trial may fail, after how many epochs.
PLACES = [("fit.check_parity", 4), ("fit.to_onnx", 4), ("objective.metrics_of_folds", 2), ("fit.train", 0)]


class TestErrors:
    @pytest.mark.parametrize(("place", "epochs"), PLACES)
    @pytest.mark.parametrize("error", [ParityError("differ by 1"), KeyError("slip")])
    def test_an_error_that_would_recur_ends_the_trial_and_is_recorded(
        self, search, make_phase1, monkeypatch, caplog, place, epochs, error
    ):
        here = search(make_phase1())
        monkeypatch.setattr(f"atml.tuning.{place}", failing(error))
        (trial,) = here.run(point())
        assert (trial.state, trial.user_attrs[records.PRUNED_BY]) == (PRUNED, "error")
        assert trial.user_attrs[records.PRUNED_BECAUSE] == error_in_words(error)
        assert "Traceback" in caplog.text
        assert len(records.curve(trial)) == epochs
        assert records.was_trained(trial) is bool(epochs)
        assert [t.state for t in here.study.trials] == [PRUNED]  # nothing waits to be tried again
        monkeypatch.undo()
        (again,) = here.run(point())
        assert again.user_attrs[records.PRUNED_BY] == "duplicate"

    @pytest.mark.parametrize("place", ["objective.metrics_of_folds", "fit.train"])
    def test_an_error_within_the_first_fold_says_nothing_of_the_neighbourhood(
        self, search, make_phase1, monkeypatch, place
    ):
        here = search(make_phase1(pruning={"neighbourhood": {"threshold": 1.0}}))
        monkeypatch.setattr(f"atml.tuning.{place}", failing(ParityError("differ")))
        (trial,) = here.run(point())
        assert records.RESULT not in trial.user_attrs
        monkeypatch.undo()
        assert here.run(point(3.16e-2))[0].state == COMPLETE

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
    def test_what_may_go_well_another_time_is_queued_again(self, search, make_phase1, monkeypatch, error):
        here = search(make_phase1())
        monkeypatch.setattr("atml.tuning.fit.train", failing(error))
        with pytest.raises(type(error)):
            here.run(point())
        assert [trial.state for trial in here.study.trials] == [FAIL, WAITING]
        monkeypatch.undo()
        here.run(None)
        assert [trial.state for trial in here.study.trials] == [FAIL, COMPLETE]

    def test_what_goes_wrong_time_and_again_is_an_error_and_not_tried_any_more(
        self, search, make_phase1, monkeypatch
    ):
        here = search(make_phase1())
        monkeypatch.setattr("atml.tuning.fit.train", failing(torch.OutOfMemoryError("CUDA out of memory")))
        for attempt in [point(), *[None] * (MOST_DEATHS - 1)]:
            with pytest.raises(torch.OutOfMemoryError):
                here.run(attempt)
        here.run(None)
        *earlier, last = here.study.trials
        assert [trial.state for trial in earlier] == [FAIL] * MOST_DEATHS
        assert (last.state, last.user_attrs[records.PRUNED_BY]) == (PRUNED, "error")
        assert "CUDA out of memory" in last.user_attrs[records.PRUNED_BECAUSE]

    def test_a_trial_that_ended_with_an_error_leaves_no_checkpoint(
        self, search, make_phase1, monkeypatch, tmp_path
    ):
        monkeypatch.setattr("atml.tuning.fit.check_parity", failing(ParityError("differ")))
        search(make_phase1()).run(point(), checkpoints=Checkpoints(tmp_path / "checkpoints"))
        assert list((tmp_path / "checkpoints").iterdir()) == []


class TestEndedEarly:
    @pytest.mark.parametrize(
        ("sign", "budget", "because"),
        [
            (stop.StoppedBy.TARGETS, {}, "enough"),
            (None, {"minutes": 1e-6}, "min is spent"),
        ],
    )
    def test_a_trial_still_running_at_the_end_of_the_study_is_pruned_but_counts(
        self, search, make_phase1, make_trial, sign, budget, because
    ):
        here = search(make_phase1(budget=budget, training={"epochs": 3}))
        here.add(make_trial, 1e-1, "optimized_afnet", curve=(1.0, 1.0))  # otherwise this one might finish
        if sign:
            stop.request_stop(here.study, stop.Stop(by=sign, because="enough"))
        (trial,) = here.run(point())
        assert (trial.state, trial.user_attrs[records.PRUNED_BY]) == (PRUNED, "stopped")
        assert because in trial.user_attrs[records.PRUNED_BECAUSE]
        assert len(records.curve(trial)) == 1
        assert records.was_trained(trial)

    def test_a_study_that_is_given_more_minutes_meanwhile_lets_its_trials_finish(
        self, search, make_phase1, make_trial
    ):
        here = search(make_phase1(budget={"minutes": 1e-6}))
        here.add(make_trial, 1e-1, "optimized_afnet", curve=(1.0, 1.0))  # otherwise this one might finish
        here.study.set_user_attr(records.SPEC, make_phase1(budget={"minutes": 1000}).stored())
        (trial,) = here.run(point())
        assert trial.state == COMPLETE

    def test_without_a_finished_trial_the_oldest_finishes_beyond_the_minutes(
        self, search, make_phase1, make_trial
    ):
        rules = {"startup_trials": 1, "warmup_epochs": 0}
        here = search(make_phase1(budget={"minutes": 1e-6}, pruning=rules))
        behind = {"state": PRUNED, "pruned_by": "stopped", "onnx_bytes": 1}
        here.add(make_trial, 1e-1, "optimized_afnet", curve=(1.0, 1.0), **behind)
        first, second = here.run(point(1e-3), point(1e-2))
        assert first.state == COMPLETE
        assert folds_of(first) == [0, 0, 1, 1]
        assert (second.state, second.user_attrs[records.PRUNED_BY]) == (PRUNED, "stopped")

    def test_between_two_folds_the_end_of_the_study_is_noticed_too(self, search, make_phase1):
        here = search(make_phase1(training={"epochs": 1}))
        stop.request_stop(here.study, stop.Stop(by=stop.StoppedBy.TARGETS, because="enough"))
        (trial,) = here.run(point())
        assert (trial.state, trial.user_attrs[records.PRUNED_BY]) == (PRUNED, "stopped")
        assert folds_of(trial) == [0]
        assert list(records.folds(trial)) == [0]

    @pytest.mark.parametrize("objectives", [1, 2])
    def test_a_trial_behind_no_larger_ones_is_pruned_within_its_first_fold(
        self, search, make_phase1, make_phase2, make_trial, objectives
    ):
        make = make_phase1 if objectives == 1 else make_phase2
        here = search(make(pruning={"startup_trials": 1, "warmup_epochs": 0}))
        here.add(make_trial, 1e-1, "optimized_afnet", curve=(1.0, 1.0), onnx_bytes=1)
        (behind,) = here.run(point())
        assert (behind.state, behind.user_attrs[records.PRUNED_BY]) == (PRUNED, "pruner")
        assert folds_of(behind) == [0]
        assert records.RESULT not in behind.user_attrs
