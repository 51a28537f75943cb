"""A worker that serves every study."""

import shutil
from dataclasses import replace

import optuna

from atml.service import serving
from atml.service.signals import LeaveOnSignal
from atml.service.studies import create_or_resume
from atml.tuning import records, stop
from tests.inprocess import work_here, worker_settings


def test_a_study_that_was_refused_is_served_once_its_data_are_there(
    storage, dataset, simulated, make_phase1, tmp_path, monkeypatch
):
    monkeypatch.setattr(serving, "RETRY_SECONDS", 0.05)
    study = create_or_resume(storage, make_phase1(budget={"trials": 1}), dataset).study
    mounted = tmp_path / "mounted"
    said, looks = [], []

    class WhenOver(LeaveOnSignal):
        def requested(self):
            looks.append(1)
            if len(looks) == 20:
                shutil.copytree(simulated, mounted)
            return stop.read(study) is not None

    with worker_settings(storage, tmp_path / "artifacts", WhenOver()) as settings:
        monkeypatch.setattr(serving, "IDLE_SECONDS", 0.1)
        serving.serve(storage, replace(settings, train=mounted), say=said.append)
    refusals = [text for text in said if "skipped" in text]
    assert len(refusals) == 1  # a reason is said once
    assert refusals[0].startswith("first: skipped: ")
    assert "mounted" in refusals[0]
    assert len(records.trained(study.trials)) == 1
    assert said[-2:] == ["first: joined", "first: left, since the budget of 1 trial is spent"]


def test_a_study_deleted_while_it_is_worked_on_is_left_and_the_next_one_served(
    storage, dataset, make_phase1, tmp_path, monkeypatch
):
    deleted = create_or_resume(storage, make_phase1(budget={"trials": 1}), dataset).study
    study = create_or_resume(storage, make_phase1(name="second", budget={"trials": 1}), dataset).study
    said = []

    class DeletesIt(LeaveOnSignal):
        def requested(self):
            if "first" in optuna.get_all_study_names(storage) and deleted.get_trials(deepcopy=False):
                optuna.delete_study(study_name="first", storage=storage)
            return stop.read(study) is not None

    monkeypatch.setattr(serving, "IDLE_SECONDS", 0.1)
    with worker_settings(storage, tmp_path / "artifacts", DeletesIt()) as settings:
        serving.serve(storage, settings, say=said.append)
    assert said[1].startswith("first: skipped: sqlite:///")
    assert "somebody may have deleted it" in said[1]
    assert len(records.trained(study.trials)) == 1


def test_a_study_extended_while_another_is_worked_on_goes_on_to_the_new_budget(
    storage, dataset, make_phase1, tmp_path, monkeypatch
):
    first = create_or_resume(storage, make_phase1(budget={"trials": 1}), dataset)
    second = create_or_resume(storage, make_phase1(name="second", budget={"trials": 1}), dataset)
    work_here(storage, second, tmp_path / "artifacts")
    stop.clear_stop(second.study)  # as if no worker had looked at it since
    longer = make_phase1(name="second", budget={"trials": 2})

    class ExtendsIt(LeaveOnSignal):
        def requested(self):
            if first.study.get_trials(deepcopy=False) and second.latest() is second:
                create_or_resume(storage, longer, dataset, extend=True)
            return all(stop.read(stored.study) is not None for stored in (first, second))

    monkeypatch.setattr(serving, "IDLE_SECONDS", 0.1)
    with worker_settings(storage, tmp_path / "artifacts", ExtendsIt()) as settings:
        serving.serve(storage, settings, say=lambda text: None)
    assert len(records.trained(second.study.trials)) == 2
