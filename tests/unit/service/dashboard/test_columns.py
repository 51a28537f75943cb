import json

import optuna
import pytest

from atml.search import records
from atml.service.address import Address
from atml.service.artifacts import open_artifacts
from atml.service.dashboard import dashboard_app
from atml.service.dashboard.columns import FIGURES, readable_columns
from atml.service.studies import create_or_resume

METRICS = dict.fromkeys(records.RECORDED_METRICS, 0.5) | {"roc_auc": None}


@pytest.fixture
def study(storage, dataset, make_phase2, make_trial):
    study = create_or_resume(storage, make_phase2(), dataset).study
    recorded = {"worker": {"host": "heart", "pid": 12}, "config": {"channels": 8}, "parameters": 1234}
    study.add_trial(make_trial(metrics=METRICS, curve=(0.5, 0.9), directions=2, **recorded))
    return study


@pytest.fixture
def shown(storage, call, tmp_path):
    """Return what the dashboard tells a browser about a study."""

    def shown(study):
        store = open_artifacts(tmp_path / "artifacts")
        app = dashboard_app(storage, store, address=Address(), credentials=None, only_reading=True)
        answer = call(app, path=f"/api/studies/{study._study_id}")
        assert answer.status == 200
        assert int(answer.headers["content-length"]) == len(answer.body)
        return json.loads(answer.body)

    return shown


def attributes(trial):
    return {one["key"]: one["value"] for one in trial["user_attrs"]}


def test_every_metric_is_an_attribute_and_what_fills_a_page_is_none(study, shown):
    document = shown(study)
    (trial,) = [one for one in document["trials"] if one["state"] == "Complete"]
    found = attributes(trial)
    assert found["f1"] == "0.5000"
    assert "roc_auc" not in found
    assert found["worker"] == "heart 12"
    assert (found["parameters"], found["onnx_bytes"]) == ("1234", "1000")
    assert not {"curve", "config", "metrics", "fbeta"} & found.keys()
    assert attributes(document["best_trials"][0]) == found


def test_a_column_can_be_sorted_by_and_none_is_there_twice(study, shown):
    columns = {one["key"]: one["sortable"] for one in shown(study)["union_user_attrs"]}
    assert columns.items() >= dict.fromkeys((*FIGURES, "parameters"), True).items()
    assert not {"curve", "config", "metrics", "onnx_bytes", "learning_rate"} & columns.keys()


def test_a_study_of_others_is_shown_as_it_is(storage, shown):
    study = optuna.create_study(storage=storage, study_name="foreign")
    study.optimize(lambda trial: trial.set_user_attr("metrics", [1, 2]) or 1.0, n_trials=1)
    document = shown(study)
    assert attributes(document["trials"][0]) == {"metrics": "[1, 2]"}


@pytest.mark.parametrize("value", ["no JSON {", [1], "", {"f1": "high"}])
def test_an_attribute_that_someone_edited_does_no_harm(study, shown, value):
    def edit(trial):
        for name in (records.METRICS, records.WORKER):
            trial.set_user_attr(name, value)
        raise optuna.TrialPruned

    study.optimize(edit, n_trials=1)
    (edited,) = [one for one in shown(study)["trials"] if one["state"] == "Pruned"]
    assert "f1" not in attributes(edited)


def test_what_is_stored_stays(study, shown, storage):
    before = [trial.user_attrs for trial in study.trials]
    shown(study)
    assert [trial.user_attrs for trial in storage.get_all_trials(study._study_id)] == before


@pytest.mark.parametrize("path", ["/api/studies/{}", "/api/studies/{}//", "/api/studies/\u0661"])
def test_any_path_that_the_dashboard_takes_for_a_study_is_readable(study, storage, call, tmp_path, path):
    assert study._study_id == 1
    app = dashboard_app(
        storage,
        open_artifacts(tmp_path / "artifacts"),
        address=Address(),
        credentials=None,
        only_reading=True,
    )
    answer = call(app, path=path.format(1).encode().decode("latin-1"))
    assert "f1" in {one["key"] for one in json.loads(answer.body)["union_user_attrs"]}


def test_a_refusal_and_other_pages_pass_unchanged(call):
    def app(environ, start):
        start("404 Not Found", [("Content-Type", "text/plain")])
        return [b"no such study"]

    for path in ("/api/studies/7", "/api/studies"):
        answer = call(readable_columns(app), path=path)
        assert (answer.status, answer.body) == (404, b"no such study")
