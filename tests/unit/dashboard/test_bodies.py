"""Requests that nothing sensible can be made of: the client is told, and nothing is an internal error."""

import json

import optuna
import pytest

from atml.dashboard.app import Address, dashboard_app
from atml.service.artifacts import open_artifacts

FILE = "data:text/plain;base64,YQ=="
DOCUMENTS = [
    None,
    [],
    5,
    "text",
    {},
    {"study_name": 5},
    {"study_name": "new", "directions": 5},
    {"study_name": "new", "directions": [5]},
    {"study_name": ["new"], "directions": ["minimize"]},
    {"version": "1", "body": "text"},
    {"version": True, "body": "text"},
    {"version": 1, "body": 5},
    {"version": 1, "body": None},
    {"file": 5},
    {"file": "text"},
    {"file": "data:text"},
    {"file": "data:text/plain;base64,YQ"},
    {"file": FILE, "filename": 5},
    {"state": 5},
    {"state": "Complete", "values": "text"},
    {"user_attrs": 5},
    {"mode": "ChooseWorst", "candidates": [[]], "clicked": []},
    {"output_type": 5},
]


@pytest.fixture
def study(storage):
    study = optuna.create_study(storage=storage, study_name="seen")
    study.tell(study.ask(), 1.0)
    return study


@pytest.fixture
def app(storage, study, tmp_path):
    return dashboard_app(
        storage,
        open_artifacts(tmp_path / "artifacts"),
        address=Address(host="127.0.0.1"),
        credentials=None,
        only_reading=False,
    )


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/studies"),
        ("POST", "/api/studies/{0}/rename"),
        ("PUT", "/api/studies/{0}/note"),
        ("PUT", "/api/studies/{0}/{0}/note"),
        ("POST", "/api/studies/{0}/{0}/skip"),
        ("POST", "/api/studies/{0}/preference"),
        ("PUT", "/api/studies/{0}/preference_feedback_component"),
        ("POST", "/api/trials/{0}/tell"),
        ("POST", "/api/trials/{0}/user-attrs"),
        ("POST", "/api/artifacts/{0}"),
        ("POST", "/api/artifacts/{0}/{0}"),
    ],
)
def test_a_malformed_request_is_the_clients_mistake(call, app, study, tmp_path, method, path, known):
    path = path.format(study._study_id if known else 999)
    answers = {json.dumps(one): call(app, method, path, document=one) for one in DOCUMENTS}
    assert {one: answer.status for one, answer in answers.items() if not 400 <= answer.status < 500} == {}
    assert [one for one, answer in answers.items() if not json.loads(answer.body)["reason"]] == []
    assert list((tmp_path / "artifacts").iterdir()) == []


@pytest.mark.parametrize("path", ["note", "rename", "tell", "upload"])
def test_what_is_well_formed_is_still_done(call, app, study, path):
    number = study._study_id
    method, where, document = {
        "note": ("PUT", f"/api/studies/{number}/note", {"version": 1, "body": "text"}),
        "rename": ("POST", f"/api/studies/{number}/rename", {"study_name": "other"}),
        "tell": ("POST", f"/api/trials/{study.ask()._trial_id}/tell", {"state": "Complete", "values": [1]}),
        "upload": ("POST", f"/api/artifacts/{number}", {"file": FILE, "filename": "a.txt"}),
    }[path]
    assert call(app, method, where, document=document).status in (201, 204)


@pytest.mark.parametrize("name", ["../../../escaped", "", "a/b", "..", "two words", "a\n", "x" * 65])
def test_a_study_gets_no_name_that_could_not_name_a_folder(call, app, storage, study, name):
    renaming = call(app, "POST", f"/api/studies/{study._study_id}/rename", document={"study_name": name})
    creation = {"study_name": name, "directions": ["minimize"]}
    for answer in (renaming, call(app, "POST", "/api/studies", document=creation)):
        assert answer.status == 400
        assert "must be 1 to 64 letters" in json.loads(answer.body)["reason"]
    assert [one.study_name for one in storage.get_all_studies()] == ["seen"]


def test_what_takes_no_body_needs_none(call, app, study):
    """The dashboard's own page sends none."""
    number = study._study_id
    skipped = call(app, "POST", f"/api/studies/{number}/{number}/skip")
    assert json.loads(skipped.body)["reason"] == "The study is not preferential."
    restored = call(app, "POST", f"/api/studies/{number}/preference/abc")
    assert json.loads(restored.body)["reason"] == "history_id=abc is not found"


@pytest.mark.parametrize(
    ("method", "path", "document"),
    [
        ("GET", "/api/studies/999", None),
        ("GET", "/api/studies/999/param_importances", None),
        ("GET", "/csv/999", None),
        ("GET", "/artifacts/999/abc", None),
        ("DELETE", "/api/studies/999", None),
        ("DELETE", "/api/artifacts/999/abc", None),
        ("PUT", "/api/studies/999/note", {"version": 1, "body": "text"}),
        ("POST", "/api/artifacts/999", {"file": FILE, "filename": "a.txt"}),
        ("POST", "/api/studies/999/rename", {"study_name": "other"}),
    ],
)
def test_an_unknown_study_is_not_found(call, app, method, path, document):
    assert call(app, method, path, document=document).status == 404


def test_a_trial_that_has_ended_is_a_conflict(call, app, study):
    (trial,) = study.trials
    for path, document in (("tell", {"state": "Fail"}), ("user-attrs", {"user_attrs": {"a": 1}})):
        assert call(app, "POST", f"/api/trials/{trial._trial_id}/{path}", document=document).status == 409
