"""What a report says about a study whose trials others than ATML's workers have added."""

import pytest
from optuna.trial import TrialState

from atml.reports.html.answer import targets
from atml.reports.html.page import contents, render
from atml.reports.html.study_part import study_part
from atml.service.studies import create_or_resume

PRUNED = TrialState.PRUNED


@pytest.fixture
def part(storage, dataset, make_phase1, at_first_point):
    """What is said about a study of four folds with such trials at one point."""

    def make(*trials):
        phase = make_phase1(data={"folds": 4}, targets={"fbeta": 0.9, "onnx_bytes": 50_000})
        stored = create_or_resume(storage, phase, dataset)
        for fields in trials:
            stored.study.add_trial(at_first_point(stored.grid, **fields))
        return study_part(stored)

    return make


@pytest.fixture
def at_first_point(make_trial):
    return lambda grid, **fields: make_trial(**{**grid.points[0].params, **fields})


def test_targets_are_not_met_by_a_trial_on_some_folds_and_the_answer_names_them(part):
    ahead = {"state": PRUNED, "pruned_by": "race"}
    study = part({**ahead, "by_fold": (0.95,)}, {**ahead, "by_fold": (0.95, 0.96)})
    assert study.best.number == 1
    assert [one.met for one in targets(contents(study, None))] == [None, None]
    assert "F2 0.955 on subjects it was not trained on, measured on 2 of 4 folds." in study.answer


def test_targets_are_met_by_a_trial_on_all_folds(part):
    study = part({"by_fold": (0.95,) * 4})
    assert [one.met for one in targets(contents(study, None))] == [True, True]
    assert "F2 0.950 on subjects it was not trained on." in study.answer


def test_a_learning_rate_has_the_result_of_its_last_trial_not_a_lucky_fold(part):
    lucky = {"state": PRUNED, "pruned_by": "race", "curve": (0.96,), "by_fold": (0.96,)}
    study = part(lucky, {"curve": (0.92,), "by_fold": (0.96, 0.92, 0.92, 0.92)})
    found = [one for points in study.rates.values() for one in points if one.fbeta is not None]
    assert [(one.state, one.fbeta) for one in found] == [("good", pytest.approx(0.93))]


def test_the_cost_names_processes_and_no_time_that_a_retry_has_copied(part):
    one, two = ({"worker": {"host": "a", "pid": pid, "started": 1, "device": "cpu"}} for pid in (1, 2))
    html = render(contents(part(one, two), None))
    assert "of 2 worker processes on cpu. A process may use several cores" in html
    assert "in epochs" not in html
