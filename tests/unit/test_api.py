"""What the Python interface does where a test of the commands would take minutes."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from atml import api
from atml.errors import AtmlError, DataError, SpecError, StudyError
from atml.service.storage import open_storage
from atml.service.studies import create_or_resume, study_names
from atml.tuning import stop
from tests.databases import close
from tests.disks import small_disk


def test_a_run_whose_first_search_is_stopped_does_not_begin_the_second(
    simulated, storage, storage_url, phase1_document, phase2_document, make_trial, tmp_path, monkeypatch
):
    def stopped_by_the_user(study, plan, **options):
        study.add_trial(make_trial(architecture="optimized_afnet", curve=(0.7,)))
        stop.request_stop(study, stop.Stop(by=stop.StoppedBy.USER, because="stopped by the user"))

    monkeypatch.setattr("atml.service.session.launch", stopped_by_the_user)
    with pytest.raises(StudyError, match="'heart-phase1' was stopped, so 'heart-phase2' is not begun"):
        api.run(
            simulated,
            specs=(phase1_document, phase2_document),
            name="heart",
            storage=storage_url,
            artifacts=str(tmp_path / "artifacts"),
            out=tmp_path / "results",
            device="cpu",
        )
    assert study_names(storage) == ["heart-phase1"]


def test_an_evaluation_that_cannot_be_recorded_is_said_not_to_be_counted(dataset, make_phase1, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"model")
    bundle = SimpleNamespace(study="first", model=tmp_path / "model.onnx")
    with small_disk(tmp_path / "disk", mebibytes=8) as disk:
        url = f"sqlite:///{disk.folder / 'atml.db'}"
        storage = open_storage(url)
        create_or_resume(storage, make_phase1(), dataset)
        close(storage)
        with disk.read_only():
            said = api._count(bundle, dataset, 0.9, url)
    assert said.startswith(f"evaluation not counted: cannot write {url}")


@pytest.mark.parametrize("options", [{"workers": 0}, {"workers": -1}, {"device": "gpu"}])
def test_what_workers_cannot_use_is_refused_before_a_study_exists(simulated, storage, storage_url, options):
    with pytest.raises(AtmlError, match=next(iter(options))):
        api.run(simulated, name="heart", storage=storage_url, **options)
    assert study_names(storage) == []


@pytest.mark.parametrize(
    "options", [{"threshold": math.nan}, {"threshold": 7}, {"threshold": -1}, {"beta": 0}, {"beta": math.inf}]
)
def test_a_threshold_is_a_score_and_beta_positive(dataset, options):
    (name,) = options
    with pytest.raises(DataError, match=f"{name} must be"):
        api.evaluate("bundle", dataset, **options)
    if name == "threshold":
        with pytest.raises(DataError, match="threshold must be from 0 to 1"):
            api.predict("bundle", "recordings", **options)


def test_a_shortest_episode_has_a_length():
    with pytest.raises(DataError, match="minimum_seconds must be 0 or more"):
        api.predict("bundle", "recordings", minimum_seconds=math.nan)


@pytest.mark.parametrize("sizes", [[], [0], [2000.5], [True], [10**13], np.array([0])])
def test_sizes_that_are_none_are_refused_before_a_study_exists(simulated, storage, storage_url, sizes):
    with pytest.raises(SpecError, match="sizes must be whole numbers of bytes"):
        api.run(simulated, name="heart", sizes=sizes, storage=storage_url)
    assert study_names(storage) == []
