"""What the Python interface does where a test of the commands would take minutes."""

import math
import re
import shutil
from types import SimpleNamespace

import numpy as np
import optuna
import pytest

from atml import api
from atml.ecg import load_dataset
from atml.errors import AtmlError, CannotWrite, DataError, SpecError, StudyError
from atml.export import OnnxMetadata, to_onnx
from atml.models import get_architecture
from atml.reports.bundle import FACTS, MODEL, hashed, write_bundle
from atml.reports.looks import count_evaluation, looks
from atml.service.storage import open_storage
from atml.service.studies import create_or_resume, load
from atml.service.watch import Watch
from atml.tuning import stop
from tests.databases import close
from tests.disks import small_disk


@pytest.fixture
def run(simulated, storage_url, phase1_document, phase2_document, make_trial, tmp_path, monkeypatch):
    """Run two searches, of which the user stops the first."""

    def stopped_by_the_user(study, plan, **options):
        study.add_trial(make_trial(architecture="optimized_afnet", curve=(0.7,)))
        stop.request_stop(study, stop.Stop(by=stop.StoppedBy.USER, because="stopped by the user"))

    monkeypatch.setattr("atml.service.session.launch", stopped_by_the_user)
    return lambda **options: api.run(
        simulated,
        specs=(phase1_document, phase2_document),
        name="heart",
        storage=storage_url,
        artifacts=str(tmp_path / "artifacts"),
        out=tmp_path / "results",
        device="cpu",
        **options,
    )


def test_a_run_whose_first_search_is_stopped_does_not_begin_the_second(run, storage):
    with pytest.raises(StudyError, match="'heart-phase1' was stopped, so 'heart-phase2' is not begun"):
        run()
    assert optuna.get_all_study_names(storage) == ["heart-phase1"]


def test_a_subject_in_training_and_test_is_left_out_of_training(
    run, storage, simulated, simulated_test, tmp_path
):
    test, heard = shutil.copytree(simulated_test, tmp_path / "test"), Heard()
    for subject in ("S10", "S3"):
        shutil.copy(next(simulated.glob(f"{subject}-*.txt")), test)
    with pytest.raises(StudyError, match="was stopped"):
        run(test=test, watch=heard)
    assert f"Left out of training, since they are in {test}: S3, S10" in heard.said
    assert load(storage, "heart-phase1").phase.data.exclude_subjects == ("S3", "S10")


def test_an_evaluation_that_cannot_be_recorded_is_said_not_to_be_counted(
    dataset, held_out, make_phase1, tmp_path
):
    bundle = SimpleNamespace(study="first")
    metrics = SimpleNamespace(
        threshold=0.5, beta=2.0, defined={"fbeta": 0.9}.get, subjects=4, training_subjects=0
    )
    with small_disk(tmp_path / "disk", mebibytes=8) as disk:
        url = f"sqlite:///{disk.folder / 'atml.db'}"
        storage = open_storage(url)
        create_or_resume(storage, make_phase1(), dataset)
        close(storage)
        with disk.read_only():
            said = count_evaluation(bundle, b"model", held_out, metrics, url, training_subjects=0)
    assert said.startswith(f"evaluation not counted: cannot write {url}")


class Heard(Watch):
    """Keeps what is said."""

    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)


@pytest.fixture
def stored(storage, dataset, make_phase1):
    return create_or_resume(storage, make_phase1(), dataset)


@pytest.fixture
def evaluate(stored, dataset, storage_url, tmp_path):
    """Evaluate a bundle of `stored`, or a file in it; return the metrics and what was said."""
    trained = sorted(map(hashed, set(dataset.subjects)))
    linear, length = get_architecture("linear"), dataset.segment_length
    metadata = OnnxMetadata(
        sampling_rate_hz=250, classes=("Normal", "AFIB"), threshold=0.5, architecture="linear"
    )
    network = linear.build(linear.default(), length)
    onnx = to_onnx(network, segment_length=length, metadata=metadata)
    folder = write_bundle(
        tmp_path / "bundle",
        {MODEL: onnx},
        {
            **dict.fromkeys(FACTS),
            "study": "first",
            "subjects": {"train": trained, "test": []},
            "spec": {"beta": 1.5},
        },
    )

    def evaluate(data, file="", **options):
        heard = Heard()
        return api.evaluate(folder / file, data, storage=storage_url, watch=heard, **options), heard.said

    return evaluate


@pytest.fixture
def held_out(simulated_test):
    return load_dataset(simulated_test, workers=1)


def test_a_bundle_and_its_file_are_one_model_and_each_threshold_is_a_look(evaluate, stored, held_out):
    evaluate(held_out)
    _, said = evaluate(held_out, MODEL)
    assert said[-1] == "models of study 'first' have been evaluated on other segments 1 time"
    _, said = evaluate(held_out, MODEL, threshold=0.25)
    assert said[-1] == "models of study 'first' have been evaluated on other segments 2 times"
    evaluate(held_out, threshold=0.25, beta=0.5)
    assert {(one["threshold"], one["beta"]) for one in looks(stored.study)} == {
        (0.5, 1.5),  # that of the bundle's study
        (0.25, 1.5),
        (0.25, 0.5),
    }


def test_the_report_shows_each_look_with_its_threshold_and_beta(
    evaluate, stored, held_out, storage_url, tmp_path
):
    metrics, _ = evaluate(held_out, threshold=0.25, beta=0.5)
    page = api.report("first", storage=storage_url, results=tmp_path, out=tmp_path / "page.html").read_text()
    table = page[page.index('id="looks"') : page.index('id="again"')]
    assert "<th>threshold</th><th>beta</th><th>F-beta</th>" in table
    figures = [re.findall(r"<td>(.*?)</td>", row) for row in re.findall("<tr>.*?</tr>", table)[1:]]
    assert figures == [["0.2500", "0.5", f"{metrics.fbeta:.4f}", "0 of 4"]]
    assert "not an independent test" not in table


def test_subjects_with_the_names_of_training_subjects_are_told_and_no_independent_look(
    evaluate, dataset, held_out, storage_url, tmp_path
):
    some = dataset.select(np.isin(dataset.subjects, ["S0", "S1", "S10"]))
    metrics, said = evaluate(some)
    assert metrics.training_subjects == 3
    assert said[0].startswith("3 of 3 subjects have the names of training subjects: S0, S1, S10. Unless they")
    metrics, said = evaluate(dataset)
    assert metrics.training_subjects == 12
    assert "S8, S9 and 2 more." in said[0]
    metrics, said = evaluate(held_out)
    assert metrics.training_subjects == 0
    assert len(said) == 1
    page = api.report("first", storage=storage_url, results=tmp_path, out=tmp_path / "page.html").read_text()
    assert "Looks at subjects with the names of training subjects: 1." in page
    assert "<td>3 of 3</td>" in page


def test_of_a_model_in_no_bundle_the_training_subjects_are_not_known(evaluate, held_out, tmp_path):
    (tmp_path / "model.onnx").write_bytes((tmp_path / "bundle" / MODEL).read_bytes())
    metrics, said = evaluate(held_out, tmp_path / "model.onnx")
    assert (metrics.training_subjects, said) == (None, [])


@pytest.mark.parametrize("options", [{"workers": 0}, {"workers": -1}, {"device": "gpu"}])
def test_what_workers_cannot_use_is_refused_before_a_study_exists(simulated, storage, storage_url, options):
    with pytest.raises(AtmlError, match=next(iter(options))):
        api.run(simulated, name="heart", storage=storage_url, **options)
    assert optuna.get_all_study_names(storage) == []


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


@pytest.mark.parametrize("seconds", [-1, math.nan, math.inf])
def test_a_shortest_episode_has_a_length(seconds):
    with pytest.raises(DataError, match="minimum_seconds must be 0 or more and finite"):
        api.predict("bundle", "recordings", minimum_seconds=seconds)


def test_bundles_that_could_not_be_written_are_refused_before_the_search(
    simulated, storage, storage_url, tmp_path
):
    places = {"storage": storage_url, "artifacts": str(tmp_path / "artifacts"), "out": tmp_path / "out"}
    places["out"].write_text("a file")
    with pytest.raises(CannotWrite, match=r"cannot write .*out"):
        api.run(simulated, name="heart", **places)
    assert optuna.get_all_study_names(storage) == []


@pytest.mark.parametrize("sizes", [[], [0], [2000.5], [True], [10**13], np.array([0])])
def test_sizes_that_are_none_are_refused_before_a_study_exists(simulated, storage, storage_url, sizes):
    with pytest.raises(SpecError, match="sizes must be whole numbers of bytes"):
        api.run(simulated, name="heart", sizes=sizes, storage=storage_url)
    assert optuna.get_all_study_names(storage) == []
