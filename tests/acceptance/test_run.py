"""`atml run`, interrupted wherever it hurts, and what a user does with its bundle."""

import csv
import hashlib
import io
import json

import pytest
from optuna.trial import TrialState

from atml.tuning import records

RUNNING, FAIL, WAITING = TrialState.RUNNING, TrialState.FAIL, TrialState.WAITING


@pytest.fixture(scope="module")
def story(workplace):
    """Run to the end with a Ctrl-C in phase 1, in phase 2 and in finalize; return what was said."""

    def training(study):
        def condition():
            trials = workplace.trials(study)
            return any(t.state == RUNNING and records.curve(t) for t in trials)

        return condition

    def fitting():
        return list(workplace.folder.glob("artifacts/heart-phase2/fits/*.pt"))

    said = {}
    command = workplace.run_arguments()
    for where, condition in (
        ("phase 1", training("heart-phase1")),
        ("phase 2", training("heart-phase2")),
        ("finalize", fitting),
    ):
        said[where] = workplace.interrupt_when(condition, *command)
        study = "heart-phase1" if where == "phase 1" else "heart-phase2"
        said[f"{where}, states"] = [trial.state for trial in workplace.trials(study)]
        said[f"{where}, trained"] = len(records.trained(workplace.trials(study)))
    said["fits"] = {path.name: path.stat().st_mtime_ns for path in fitting()}
    done = workplace.atml(*command, "--json")
    assert done.returncode == 0, done.stderr
    said["end"] = done.stderr
    said["result"] = json.loads(done.stdout)
    return said


@pytest.fixture(scope="module")
def bundle(workplace, story):
    return workplace.folder / story["result"]["final"]["recommended"]


@pytest.mark.parametrize("where", ["phase 1", "phase 2"])
def test_an_interrupted_phase_leaves_no_trial_running_and_queues_it_again(story, where):
    assert "Leaving: the workers finish their epoch" in story[where]
    assert "Run the same command again: it continues" in story[where]
    states = story[f"{where}, states"]
    assert RUNNING not in states
    assert states.count(FAIL) == 1
    assert states[-1] == WAITING
    assert story[f"{where}, trained"] == 0


@pytest.mark.parametrize("study", ["heart-phase1", "heart-phase2"])
def test_in_the_end_exactly_the_budget_is_trained_and_the_interrupted_trial_too(workplace, story, study):
    trials = workplace.trials(study)
    assert len(records.trained(trials)) == 1
    assert not [trial for trial in trials if trial.state == RUNNING]
    (failed,) = [trial for trial in trials if trial.state == FAIL]
    (again,) = [trial for trial in trials if trial.user_attrs.get(records.RETRY_OF) == failed.number]
    assert again.params == failed.params
    assert records.was_trained(again)


def test_a_fit_that_was_finished_before_the_interruption_is_not_done_again(workplace, story):
    assert story["fits"]
    folder = workplace.folder / "artifacts" / "heart-phase2" / "fits"
    now = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.pt")}
    assert len(now) == 5  # 1 candidate on 2 folds, the same on soft labels, and 1 seed
    assert story["fits"].items() <= now.items()


def test_a_subject_in_training_and_test_is_left_out_of_training_and_named(workplace, story):
    assert "Left out of training, since they are in test: S12" in " ".join(story["end"].split())
    (status,) = json.loads(workplace.call("status", "heart-phase1", "--json").stdout)["studies"]
    assert (status["data"]["subjects"], status["data"]["segments"]) == (12, 240)


def test_the_result_tells_of_both_phases_and_the_bundle(story):
    first, second = story["result"]["studies"]
    assert (first["phase"], second["phase"]) == ("architecture", "width")
    assert first["best"]["architecture"] == "optimized_afnet"
    assert {trial["trial"] for trial in second["front"]} <= {trial["trial"] for trial in second["ranking"]}
    final = story["result"]["final"]
    (model,) = final["models"]
    assert final["test_looks"] == (1 if model["int8"] is None else 2)


def test_the_manifest_has_every_file_with_its_right_checksum(bundle):
    manifest = json.loads((bundle / "manifest.json").read_text())
    named = {entry["name"] for entry in manifest["files"]}
    assert named | {"manifest.json"} == {path.name for path in bundle.iterdir()}
    assert {"model.onnx", "model.pt", "metrics.json"} <= named
    for entry in manifest["files"]:
        content = (bundle / entry["name"]).read_bytes()
        assert (entry["bytes"], entry["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())


def test_evaluating_the_bundle_gives_exactly_its_test_metrics(workplace, story, bundle):
    done = workplace.call("evaluate", bundle, "--data", "test", "--json")
    assert done.returncode == 0, done.stderr
    expected = json.loads((bundle / "metrics.json").read_text())["test"]
    assert json.loads(done.stdout) == {**expected, "answered": None, "training_subjects": 0}
    (model,) = story["result"]["final"]["models"]
    assert model["test"] == expected
    assert bundle.name == f"{model['sizes'][0] // 1000}KB-{model['architecture']}-trial{model['trial']}"


def test_predictions_are_the_same_as_csv_and_as_json_and_follow_the_threshold(workplace, bundle):
    files = sorted(path.relative_to(workplace.folder) for path in workplace.test.glob("S13-*.txt"))
    as_json = workplace.atml("predict", bundle, *files, "--json")
    as_csv = workplace.call("predict", bundle, *files)
    assert as_json.returncode == as_csv.returncode == 0
    rows = json.loads(as_json.stdout)
    assert [row["file"] for row in rows] == [str(path) for path in files]
    threshold = json.loads((bundle / "metrics.json").read_text())["threshold"]
    assert all((row["class"] == "AFIB") is (row["probability"] >= threshold) for row in rows)
    table = list(csv.DictReader(io.StringIO(as_csv.stdout)))
    assert table == [{name: str(value) for name, value in row.items()} for row in rows]


def test_status_lists_both_studies_as_json_and_as_a_table(workplace, story):
    listed = json.loads(workplace.call("status", "--json").stdout)["studies"]
    ours = [study for study in listed if study["study"].startswith("heart-")]  # others share the storage
    assert [study["study"] for study in ours] == ["heart-phase1", "heart-phase2"]
    for study in ours:
        assert study["spent"]["trained"] == study["budget"]["trials"] == 1
        assert study["running"] == []
        assert study["stopped"]["because"] == "the budget of 1 trial is spent"
    table = workplace.call("status")
    assert table.returncode == 0
    assert "heart-phase1" in table.stdout
    assert "1/1" in table.stdout


JOINT = """
phase = "joint"
name = "both"
data = { folds = 2 }
training = { epochs = 2, segments_per_epoch = 64, batch_size = 32 }
budget = { trials = 3 }
finalize = { candidates = 2, seeds = 1 }
[search]
architectures = ["linear", "optimized_afnet"]
sizes = [4_000, 12_000]
learning_rate = { low = 1e-2, high = 1e-1, steps = 2 }
[pruning.neighbourhood]
threshold = 0.0
"""


def test_a_joint_search_goes_from_segments_to_a_bundle_in_one_study(workplace):
    workplace.write("joint.toml", JOINT)
    command = ["run", "--train", "train", "--test", "test", "--spec", "joint.toml", "--name", "joint"]
    done = workplace.atml(*command, "--workers", 1, "--device", "cpu", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    (study,) = result["studies"]
    assert (study["study"], study["phase"], study["spent"]["trained"]) == ("joint", "joint", 3)
    assert study["front"]
    assert all(trial["onnx_bytes"] <= 12_000 for trial in study["front"])
    for model in result["final"]["models"]:
        manifest = json.loads((workplace.folder / model["bundle"] / "manifest.json").read_text())
        facts = (manifest["study"], manifest["trial"], manifest["sizes"])
        assert facts == ("joint", model["trial"], model["sizes"])
        assert model["onnx_bytes"] <= min(model["sizes"])


def test_running_again_ends_without_a_new_trial_and_with_the_same_model(workplace, story, bundle):
    def facts():
        trials = [*workplace.trials("heart-phase1"), *workplace.trials("heart-phase2")]
        manifest = json.loads((bundle / "manifest.json").read_text())
        checksums = {entry["name"]: entry["sha256"] for entry in manifest["files"]}
        return (
            [(trial._trial_id, trial.state, trial.datetime_complete) for trial in trials],
            checksums["model.onnx"],
            json.loads((bundle / "metrics.json").read_text())["test"],
        )

    before = facts()
    done = workplace.atml(*workplace.run_arguments(), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["final"] == story["result"]["final"]
    assert facts() == before
    assert len(list(bundle.parent.iterdir())) == 1
