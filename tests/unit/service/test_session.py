from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from atml.ecg import load_dataset, simulate
from atml.errors import ModelError, SpecError, StorageError
from atml.service.launcher import WorkerPlan
from atml.service.session import announcement, open_study, with_training_data, work_on
from atml.service.watch import Watch
from atml.tuning import records
from atml.tuning.processes import this_process
from atml.tuning.retry import MOST_DEATHS


class Remembering(Watch):
    """Keeps what it is told."""

    def __init__(self):
        self.remarks = []

    def say(self, text):
        self.remarks.append(text)


@pytest.fixture
def watch():
    return Remembering()


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """Segments of 40 samples."""
    directory: Path = tmp_path_factory.mktemp("short") / "train"
    simulate(directory, subjects=6, segments_per_subject=4, seed=1, segment_length=40)
    return load_dataset(directory, workers=1)


def test_architectures_for_which_the_segments_are_too_short_are_named_once_and_never_tried(
    storage, short, make_phase1, watch
):
    names = ["linear", "afnet", "simple_cnn", "optimized_afnet"]
    phase = make_phase1(search={"architectures": names, "sizes": [4000]})
    stored = open_study(storage, phase, short, watch)
    said = "first: left out afnet, simple_cnn: segments of 40 samples are too short"
    assert watch.remarks == [said]
    assert stored.grid.architectures == ("linear", "optimized_afnet")
    # The same spec takes the study up again.
    assert open_study(storage, phase, short, watch).phase == stored.phase


@pytest.mark.parametrize(("fbeta", "said"), [(0.5, True), (0.95, False), (None, False)])
def test_a_target_that_calling_every_segment_afib_reaches_is_pointed_out(
    storage, dataset, make_phase1, watch, monkeypatch, fbeta, said
):
    stored = open_study(storage, make_phase1(targets={"fbeta": fbeta} if fbeta else {}), dataset, watch)
    monkeypatch.setattr("atml.service.session.launch", lambda *_, **__: None)  # what is said before it
    work_on(stored, WorkerPlan(storage="", artifacts="", workers=1, device="cpu"), watch)
    assert (
        any("calling every segment AFIB reaches targets.fbeta = 0.5" in one for one in watch.remarks) is said
    )


def test_nothing_is_said_where_all_fit(storage, short, make_phase1, watch):
    open_study(storage, make_phase1(), short, watch)
    assert watch.remarks == []


@pytest.mark.parametrize(("deaths", "said"), [(0, True), (MOST_DEATHS, False)])
def test_a_trial_of_a_killed_worker_is_said_to_be_queued_only_if_it_is(
    storage, short, make_phase1, watch, deaths, said
):
    study = open_study(storage, make_phase1(), short, watch).study
    trial = make_killed(study, deaths)
    open_study(storage, make_phase1(), short, watch)
    assert study.trials[trial.number].state.is_finished()
    assert watch.remarks == ["first: queued again after a killed worker: 1 trial"] * said


def make_killed(study, deaths):
    """Start a trial of a process that is no more."""
    study.enqueue_trial({"learning_rate": 0.01}, user_attrs={records.DEATHS: deaths})
    trial = study.ask()
    gone = replace(this_process(), pid=2**22 + 1)
    trial.set_user_attr(records.WORKER, gone.to_dict())
    return trial


def test_a_phase_2_names_none_that_it_does_not_search(storage, short, make_phase2, watch):
    stored = open_study(storage, make_phase2(), short, watch)
    assert stored.grid.architectures == ("optimized_afnet",)
    assert watch.remarks == []


def test_a_study_without_a_fitting_architecture_is_not_created(
    storage, short, make_phase1, make_phase2, watch
):
    base = {"architectures": ["afnet"]}
    for phase in (make_phase1(search={"architectures": ["afnet"]}), make_phase2(base=base)):
        with pytest.raises(ModelError, match="no architecture of the search takes segments of 40 samples"):
            open_study(storage, phase, short, watch)
    assert optuna.get_all_study_names(storage) == []


def test_a_study_whose_sizes_are_too_small_for_all_is_not_created(storage, short, make_phase1, watch):
    with pytest.raises(
        SpecError, match=r"no architecture can be made as small as 100 bytes; raise search\.sizes"
    ):
        open_study(storage, make_phase1(search={"sizes": [50, 100]}), short, watch)
    assert optuna.get_all_study_names(storage) == []


def test_a_training_folder_whose_name_is_not_utf_8_is_refused_at_once(make_phase1):
    with pytest.raises(SpecError, match=r"tr\\udce9in.*is not UTF-8; rename it"):
        with_training_data(make_phase1(), "tr\udce9in")


def announced(make_phase1, storage):
    return announcement([make_phase1()], WorkerPlan(storage=storage, artifacts="artifacts", workers=1))


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg"])
def test_a_storage_is_announced_without_its_password(make_phase1, scheme):
    text = announced(make_phase1, f"{scheme}://user:s%40cret@server/db?password=another")
    assert "Writes studies to postgresql://user:***@server/db, files to artifacts;" in text


@pytest.mark.parametrize(
    "storage",
    [
        "postgresql://user:s@cret@server:1/db",
        "postgresql://user:s@/cret@server/db",
        "postgresql://user:s@c:cret@server/db",
        "postgresql://user:s@c?cret@server/db",
        "cret",
    ],
)
def test_a_storage_whose_url_is_wrong_is_refused_and_not_announced(make_phase1, storage):
    with pytest.raises(StorageError, match="is not a database URL") as caught:
        announced(make_phase1, storage)
    assert "cret" not in str(caught.value)
