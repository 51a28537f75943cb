"""A worker that serves every study."""

import shutil
from dataclasses import replace

from atml.service import serving
from atml.service.signals import LeaveOnSignal
from atml.service.studies import create_or_resume
from atml.tuning import records, stop
from tests.inprocess import worker_settings


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
