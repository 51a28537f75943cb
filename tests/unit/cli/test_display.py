from dataclasses import dataclass

import optuna
import pytest
from optuna.trial import TrialState
from pydantic_core import to_jsonable_python

from atml.cli.display import StudyDisplay, so_far
from atml.cli.documents.studies import outcome_document
from atml.cli.study_tables import print_outcome
from atml.tuning.failures import deaths_in_words
from atml.tuning.outcome import outcome
from atml.tuning.progress import progress
from atml.tuning.snapshot import Snapshot
from atml.tuning.stop import Stop, StoppedBy, request_stop


@dataclass
class Stored:
    study: optuna.Study
    phase: object

    def latest(self):
        return self

    def snapshot(self):
        return Snapshot.of(self.study, self.phase, 0.5)


def document(result):
    """Return an outcome as `--json` prints it."""
    return to_jsonable_python(outcome_document(result))


@pytest.fixture
def stored(make_phase1):
    return Stored(optuna.create_study(), make_phase1())


@pytest.fixture
def fail(stored, make_trial):
    """Add a trial that ended with an error whose text looks like markup."""

    def add(text):
        because = f"ParityError: {text} [/n, L]"
        stored.study.add_trial(
            make_trial(state=TrialState.PRUNED, pruned_by="error", pruned_because=because, curve=(0.5,))
        )

    return add


TOLD = "ended with an error and is not tried again"


def test_the_first_error_is_said_once_and_the_others_as_any_finished_trial(stored, fail, capsys):
    with StudyDisplay(stored) as display:
        display.update()
        assert TOLD not in capsys.readouterr().err
        fail("first")
        display.update()
        shown = capsys.readouterr().err
        assert f"Trial 0 {TOLD}: ParityError: first [/n, L]; its worker's log" in shown
        fail("second")
        display.update()
        shown = capsys.readouterr().err
        assert TOLD not in shown
        assert "pruned after 1 epoch by error: ParityError: second [/n, L]" in shown


def test_a_trial_that_kept_killing_its_workers_is_said_without_a_traceback_that_nobody_has_logged(
    stored, make_trial, capsys
):
    because = deaths_in_words(9)
    stored.study.add_trial(
        make_trial(state=TrialState.PRUNED, pruned_by="error", pruned_because=because, curve=(0.5,))
    )
    with StudyDisplay(stored) as display:
        display.update()
    shown = capsys.readouterr().err
    assert f"Trial 0 {TOLD}: its workers died 9 times in a row without a new epoch" in shown
    assert "traceback" not in shown


def test_an_error_of_an_earlier_run_is_said_too(stored, fail, capsys):
    fail("first")
    with StudyDisplay(stored) as display:
        display.update()
        display.update()
    assert capsys.readouterr().err.count(TOLD) == 1


def test_the_outcome_counts_the_errors_and_quotes_the_first(stored, fail, capsys):
    fail("first")
    fail("second")
    result = outcome(stored.snapshot())
    print_outcome(result)
    shown = capsys.readouterr().out
    assert "2 by error" in shown
    assert "ended by an error: 2, the first was trial 0: ParityError: first [/n, L]" in shown
    assert document(result)["errors"] == [
        {"trial": 0, "error": "ParityError: first [/n, L]"},
        {"trial": 1, "error": "ParityError: second [/n, L]"},
    ]


def test_a_table_says_what_a_trial_is_worth_and_how_sure_that_is(
    make_phase1, make_phase2, make_trial, capsys
):
    for phase in (make_phase1(), make_phase2()):
        study = optuna.create_study(directions=list(phase.directions))
        made = make_trial(by_fold=(0.88, 0.92), directions=len(phase.directions), standard_error=0.0123)
        study.add_trial(made)
        result = outcome(Snapshot.of(study, phase, 0.5))
        print_outcome(result)
        shown = capsys.readouterr().out
        assert "0.9000" in shown
        assert "0.0123" in shown
        best = document(result)["best"]
        assert (best["fbeta"], best["standard_error"], best["folds"], best["threshold"]) == (
            0.9,
            0.0123,
            2,
            0.2,
        )


def test_architectures_of_which_none_finished_the_race_are_named(make_phase1, make_trial, capsys):
    study = optuna.create_study()
    study.add_trial(make_trial(architecture="linear", by_fold=(0.9,)))
    left = {"state": TrialState.PRUNED, "by_fold": (0.5,), "pruned_by": "race", "curve": (0.5,)}
    study.add_trial(make_trial(architecture="conv_gru", **left))
    result = outcome(Snapshot.of(study, make_phase1(), 0.5))
    print_outcome(result)
    shown = capsys.readouterr().out
    assert "no trial finished the race for conv_gru" in shown
    assert "ended early by race: 1 trial," in shown
    assert document(result)["unfinished"] == ["conv_gru"]


def test_a_best_trial_that_has_not_finished_the_race_meets_no_target_yet(make_phase2, make_trial, capsys):
    phase = make_phase2(targets={"fbeta": 0.9, "onnx_bytes": 3000})
    study = optuna.create_study(directions=list(phase.directions))
    left = {"state": TrialState.PRUNED, "pruned_by": "race", "curve": (0.96,), "directions": 2}
    study.add_trial(make_trial(by_fold=(0.96,), onnx_bytes=2000, **left))
    print_outcome(outcome(Snapshot.of(study, phase, 0.5)))
    shown = capsys.readouterr().out
    assert "not on all folds yet" in shown
    assert "targets not met yet" in shown
    assert ": no trial has finished the race; nearest is trial 0" in shown


def test_a_front_without_targets_has_no_verdict(make_phase2, make_trial, capsys):
    phase = make_phase2(targets={"fbeta": None, "onnx_bytes": None})
    study = optuna.create_study(directions=list(phase.directions))
    for number in range(20):  # none of them is left out
        rising = (0.7 + number / 100,)
        study.add_trial(make_trial(by_fold=rising, onnx_bytes=1000 + 100 * number, directions=2))
    print_outcome(outcome(Snapshot.of(study, phase, 0.5)))
    front = capsys.readouterr().out.partition("front of F-beta and size")[2]
    assert "0.8900" in front
    assert "0.7000" in front
    assert "│ met" not in front.partition("best within each size")[0]


def test_the_first_to_finish_the_race_needs_no_explanation(make_phase2, make_trial, capsys):
    phase = make_phase2(targets={"fbeta": 0.9, "onnx_bytes": 10_000})
    study = optuna.create_study(directions=list(phase.directions))
    left = {"state": TrialState.PRUNED, "pruned_by": "race", "curve": (0.96,), "directions": 2}
    with StudyDisplay(Stored(study, phase)) as display:
        study.add_trial(make_trial(by_fold=(0.96,), onnx_bytes=4000, **left))
        display.update()
        study.add_trial(make_trial(by_fold=(0.9, 0.9), onnx_bytes=8000, directions=2))
        display.update()
    assert "best is now" not in capsys.readouterr().err


def test_a_lower_best_is_explained_by_the_targets(make_phase2, make_trial, capsys):
    phase = make_phase2(targets={"fbeta": 0.9, "onnx_bytes": 3000})
    study = optuna.create_study(directions=list(phase.directions))
    with StudyDisplay(Stored(study, phase)) as display:
        study.add_trial(make_trial(by_fold=(0.95, 0.95), onnx_bytes=5000, directions=2))
        display.update()
        study.add_trial(make_trial(by_fold=(0.91, 0.91), onnx_bytes=2000, directions=2))
        display.update()
        shown = capsys.readouterr().err
        assert "best is now trial 1 although its F-beta is lower than that of trial 0" in shown
        assert "2.0 KB instead of 5.0 KB suits the targets better" in shown
        display.update()
        assert "best is now" not in capsys.readouterr().err


def test_a_line_about_a_trial_fits_120_columns_and_estimates_are_called_so(make_phase1, make_trial, capsys):
    stored = Stored(optuna.create_study(), make_phase1(budget={"trials": 1000, "minutes": 600}))
    reason = "its chance of being the best within 43000 bytes is 0.01, " * 3
    ended = {"state": TrialState.PRUNED, "pruned_by": "race", "pruned_because": reason, "curve": (0.5,) * 9}
    with StudyDisplay(stored) as display:
        display.update()
        stored.study.add_trial(make_trial(architecture="optimized_afnet", **ended))
        known = {"curve": (0.9,), "onnx_bytes": 123_456, "learning_rate": 0.000123}
        stored.study.add_trial(make_trial(architecture="optimized_afnet", **known))
        display.update()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2, lines
    assert [line for line in lines if len(line) > 120] == []
    assert lines[0].endswith("…")
    assert " · about " in lines[1]
    assert lines[1].endswith(" left")


def test_a_trial_without_an_epoch_has_no_fbeta_yet(stored, make_trial):
    stored.study.add_trial(make_trial(state=TrialState.RUNNING))
    stored.study.add_trial(make_trial(state=TrialState.RUNNING, curve=(0.0,)))
    shown = progress(stored.snapshot()).running
    assert [so_far(trial) for trial in shown] == ["", " F-beta 0.0000"]
    assert [trial.fbeta for trial in shown] == [None, 0.0]


@pytest.mark.parametrize(
    ("by", "said"), [(None, "not met yet"), (StoppedBy.USER, "not met yet"), (StoppedBy.BUDGET, "missed")]
)
def test_only_a_study_that_has_ended_has_missed_its_targets(make_phase1, make_trial, capsys, by, said):
    study = optuna.create_study()
    study.add_trial(make_trial(by_fold=(0.8, 0.8)))
    if by:
        request_stop(study, Stop(by=by, because="a reason"))
    result = outcome(Snapshot.of(study, make_phase1(targets={"fbeta": 0.9}), 0.7143))
    print_outcome(result)
    shown = capsys.readouterr().out
    assert f"targets {said} in the search (F-beta ≥ 0.9" in shown
    assert ("to relax" in shown) is (said == "missed")
    assert ("--extend" in shown) is (said == "missed")
    assert "calling every segment AFIB has F-beta 0.7143" in shown
    assert document(result)["all_afib_fbeta"] == 0.7143


def test_a_first_trial_that_outlasts_the_minutes_is_told_once_with_what_to_do(
    make_phase1, make_trial, capsys
):
    stored = Stored(optuna.create_study(), make_phase1(budget={"minutes": 1e-6}))
    stored.study.add_trial(make_trial(state=TrialState.RUNNING, curve=(0.5,)))
    with StudyDisplay(stored) as display:
        display.update()
        display.update()
    shown = capsys.readouterr().err
    assert shown.count("trial 0 may finish") == 1
    assert "raise budget.minutes and add --extend" in shown
