"""A study in a real MLflow database."""

import json
from pathlib import Path

import pytest
from optuna.trial import TrialState

from atml.errors import StorageError
from atml.reports.bundle import write_bundle
from atml.reports.mlflow_export import STATE, STUDY, TRIAL, export_mlflow
from atml.service.studies import create_or_resume
from tests.acceptance.conftest import call_atml

mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed; pip install 'atml[mlflow]'")
# The test itself uses MLflow's client, which uses what SQLAlchemy 2.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Place:
    """An MLflow database, and a study to export to it."""

    def __init__(self, folder, stored):
        self.uri, self.stored = f"sqlite:///{folder / 'mlflow.db'}", stored
        self.client = mlflow.MlflowClient(tracking_uri=self.uri)
        self.client.create_experiment("atml", artifact_location=str(folder / "files"))

    def export(self, **options):
        return export_mlflow(self.stored, tracking_uri=self.uri, **options)

    def runs(self):
        (experiment,) = self.client.search_experiments(filter_string="name = 'atml'")
        return self.client.search_runs([experiment.experiment_id])

    def trial(self, number):
        (run,) = [run for run in self.runs() if run.data.tags.get(TRIAL) == str(number)]
        return run


@pytest.fixture
def place(storage, dataset, make_phase1, make_trial, tmp_path):
    stored = create_or_resume(storage, make_phase1(), dataset)
    stored.study.add_trial(make_trial(architecture="conv_gru", curve=(0.5, 0.75), metrics={"f1": 0.7}))
    pruned = {"state": TrialState.PRUNED, "pruned_by": "race", "pruned_because": "it is behind"}
    stored.study.add_trial(make_trial(curve=(0.25,), **pruned))
    return Place(tmp_path, stored)


def test_a_trial_is_a_run_with_params_metrics_curves_and_tags_within_that_of_the_study(place):
    done = place.export()
    assert (done.experiment, done.created, done.updated, done.unchanged) == ("atml", 2, 0, 0)
    assert len(place.runs()) == 3
    run = place.trial(0)
    assert run.data.params == {"architecture": "conv_gru", "learning_rate": "0.01", "onnx_bytes": "1000"}
    assert (run.data.metrics["fbeta"], run.data.metrics["f1"]) == (0.75, 0.7)
    assert run.data.tags["mlflow.parentRunId"] == done.study_run
    assert (run.info.run_name, run.info.status) == ("trial 0 conv_gru", "FINISHED")
    curve = place.client.get_metric_history(run.info.run_id, "epoch_fbeta")
    assert [(point.step, point.value) for point in curve] == [(0, 0.5), (1, 0.75)]
    behind = place.trial(1)
    assert behind.info.status == "KILLED"
    assert behind.data.tags["atml.pruned_because"] == "it is behind"
    parent = place.client.get_run(done.study_run)
    assert (parent.data.tags[STUDY], parent.data.metrics["fbeta"]) == ("first", 0.75)
    spec = place.client.download_artifacts(done.study_run, "spec.json")
    assert json.loads(Path(spec).read_text())["phase"] == "architecture"


def test_exporting_again_updates_what_has_changed_and_doubles_nothing(place, make_trial):
    place.stored.study.add_trial(make_trial(state=TrialState.RUNNING, curve=(0.3,)))
    first = place.export()
    assert place.trial(2).data.tags[STATE] == "running"
    trial = place.stored.study.get_trials()[-1]
    place.stored.study.tell(trial.number, 0.3)
    place.stored.study.add_trial(make_trial(curve=(0.4,)))
    again = place.export()
    assert again.study_run == first.study_run
    assert (again.created, again.updated, again.unchanged) == (1, 1, 2)
    assert len(place.runs()) == 5
    assert place.trial(2).info.status == "FINISHED"
    history = place.client.get_metric_history(place.trial(2).info.run_id, "epoch_fbeta")
    assert [point.value for point in history] == [0.3]
    assert place.export().unchanged == 4


def test_the_files_of_a_bundle_become_artifacts_of_the_study(place, tmp_path):
    facts = dict.fromkeys(("trial", "architecture", "config", "threshold", "subjects", "test_data"))
    files = {"model.onnx": b"model"}
    bundle = write_bundle(tmp_path / "8KB-conv_gru-trial0", files, {**facts, "study": "first"})
    done = place.export(bundle=bundle)
    kept = place.client.list_artifacts(done.study_run, f"bundles/{bundle.name}")
    assert sorted(file.path.rpartition("/")[2] for file in kept) == ["manifest.json", "model.onnx"]
    other = write_bundle(tmp_path / "other", files, {**facts, "study": "second"})
    with pytest.raises(StorageError, match="is of study 'second', not of 'first'"):
        place.export(bundle=other)


def test_a_place_that_mlflow_refuses_is_told_in_one_sentence_without_its_password(place):
    with pytest.raises(StorageError, match=r"MLflow at nothing://… refuses: ") as said:
        export_mlflow(place.stored, tracking_uri="nothing://anna:secret@host")
    assert "secret" not in str(said.value)


def test_the_command_prints_what_it_wrote(place, storage_url, tmp_path):
    command = ["export-mlflow", "first", "--tracking-uri", place.uri, "--storage", storage_url]
    done = call_atml(tmp_path, *command)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "first: experiment 'atml' has 2 new runs of trials, 0 updated and 0 unchanged\n"
    assert json.loads(call_atml(tmp_path, *command, "--json").stdout)["unchanged"] == 2
