from dataclasses import dataclass

import optuna
import pytest
from optuna.trial import TrialState

from atml.cli.display import StudyDisplay
from atml.cli.documents import outcome_document
from atml.cli.tables import print_outcome
from atml.tuning.outcome import outcome
from atml.tuning.snapshot import Snapshot


@dataclass
class Stored:
    study: optuna.Study
    phase: object

    def snapshot(self):
        return Snapshot.of(self.study, self.phase)


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
        assert "pruned after 1 epochs by error: ParityError: second [/n, L]" in shown


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
    assert outcome_document(result)["errors"] == [
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
        result = outcome(Snapshot.of(study, phase))
        print_outcome(result)
        shown = capsys.readouterr().out
        assert "0.9000" in shown
        assert "0.0123" in shown
        best = outcome_document(result)["best"]
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
    result = outcome(Snapshot.of(study, make_phase1()))
    print_outcome(result)
    shown = capsys.readouterr().out
    assert "no trial finished the race for conv_gru" in shown
    assert "ended early by race: 1 trials" in shown
    assert outcome_document(result)["unfinished"] == ["conv_gru"]
