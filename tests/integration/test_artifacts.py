"""Artifacts in a folder and in S3: the same bytes come back, and what is wrong is one sentence."""

import contextlib
import errno
import io
import json
import os
import re
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
from botocore.exceptions import ReadTimeoutError
from moto.server import ThreadedMotoServer
from optuna.artifacts import download_artifact, get_all_artifact_meta
from typer.testing import CliRunner

from atml import doctor
from atml.cli.main import app
from atml.defaults import default_spec
from atml.errors import CannotWrite, StorageError
from atml.evaluation import evaluate
from atml.service.artifacts import check_place, keep_files, local_folder, open_artifacts
from atml.service.s3 import S3Store, split_s3
from atml.tuning import records

BUCKET = "hearts"


@pytest.fixture(scope="module")
def s3():
    """An S3 server with one bucket; boto3 finds it as it would find another: by the environment."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    with contextlib.redirect_stderr(io.StringIO()):
        server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_S3", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_CONFIG_FILE", "/nonexistent")
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
        import boto3

        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET)
        yield client
    server.stop()


@pytest.fixture(params=["folder", "bucket", "prefix"])
def place(request, tmp_path, s3):
    return {
        "folder": str(tmp_path / "artifacts"),
        "bucket": f"s3://{BUCKET}",
        "prefix": f"s3://{BUCKET}/lab/atml/",
    }[request.param]


def test_the_doctor_opens_a_bucket_or_tells_why_not(s3):
    def found(place):
        findings = doctor.examine("sqlite:///none.db", place)
        return next(one for one in findings if one.name == "artifacts")

    assert (found(f"s3://{BUCKET}/lab").ok, found("s3://nowhere").ok) == (True, False)
    assert "nowhere" in found("s3://nowhere").found


def kept_by(keep):
    def objective(trial):
        trial.set_user_attr(records.CURVE, [[0, 0.5, 0.5, 0.5, 1.0]])
        keep(trial, b"model", metrics_of_nothing_much())

    return objective


def metrics_of_nothing_much():
    return evaluate([0, 1, 1], [0.1, 0.9, 0.4], ["S1", "S1", "S2"], ["N", "AFIB", "AFIB"], threshold=0.5)


def test_the_model_of_a_trial_comes_back_byte_for_byte(place, storage, tmp_path):
    study = optuna.create_study(storage=storage, study_name="kept")
    model = bytes(range(256)) * 400
    keep = keep_files(open_artifacts(place))

    def objective(trial):
        trial.set_user_attr(records.CURVE, [[0, 0.5, 0.5, 0.5, 1.0]])
        keep(trial, model, metrics_of_nothing_much())
        return 1.0

    study.optimize(objective, n_trials=1)
    metas = get_all_artifact_meta(study_or_trial=study.trials[0], storage=study._storage)
    (meta,) = [one for one in metas if one.filename == "model.onnx"]
    assert (meta.filename, meta.mimetype) == ("model.onnx", "application/octet-stream")
    store = open_artifacts(place)  # another process
    path = tmp_path / "copy.onnx"
    download_artifact(artifact_store=store, file_path=str(path), artifact_id=meta.artifact_id)
    assert path.read_bytes() == model
    store.remove(meta.artifact_id)


def test_a_prefix_keeps_two_labs_apart(s3):
    open_artifacts(f"s3://{BUCKET}/one").write("model", io.BytesIO(b"1"))
    open_artifacts(f"s3://{BUCKET}/two").write("model", io.BytesIO(b"2"))
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert {"one/model", "two/model"} <= set(keys)
    assert open_artifacts(f"s3://{BUCKET}/one").open_reader("model").read() == b"1"


def test_what_is_not_there_is_not_found_anywhere(place):
    with pytest.raises(optuna.artifacts.exceptions.ArtifactNotFound):
        open_artifacts(place).open_reader("nothing")


def test_an_artifact_whose_content_stops_arriving_is_one_sentence():
    def stop():
        raise ReadTimeoutError(endpoint_url="http://127.0.0.1", error="timed out")

    store = S3Store("s3://hearts", "", SimpleNamespace(open_reader=lambda _: SimpleNamespace(read=stop)))
    with pytest.raises(CannotWrite, match=r"^s3://hearts: the S3 server does not answer"):
        store.open_reader("model")


class TestMistakes:
    def test_no_bucket_in_the_url(self):
        with pytest.raises(StorageError, match="names no bucket; write s3://BUCKET"):
            open_artifacts("s3://")

    @pytest.mark.parametrize(
        "url", ["s3://KEY:SECRET@hearts", "S3://KEY:SE/CR@ET@hearts/x", "s3://hearts?k=SECRET"]
    )
    def test_credentials_in_the_url_are_refused_and_not_shown(self, url):
        with pytest.raises(
            StorageError, match="without credentials or options; set AWS_ACCESS_KEY_ID"
        ) as caught:
            check_place(url)
        assert not re.search("KEY:|SECRET@|SE/|=SECRET", str(caught.value))

    @pytest.mark.parametrize("url", ["gs://hearts", "postgresql://hearts/x", "file:///tmp"])
    def test_another_scheme_is_no_folder(self, url):
        with pytest.raises(StorageError, match=r"a folder or in s3://BUCKET/PREFIX but got [a-z]+://…$"):
            local_folder(url)

    def test_an_endpoint_that_is_no_url(self, s3, monkeypatch):
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "key:secret@server")
        with pytest.raises(
            StorageError, match=f"^s3://{BUCKET}: AWS_ENDPOINT_URL_S3 is not a URL; write [^@]*$"
        ):
            open_artifacts(f"s3://{BUCKET}")

    def test_a_bucket_that_is_not_there(self, s3):
        with pytest.raises(CannotWrite, match=r"^s3://nowhere/x: there is no such bucket"):
            open_artifacts("s3://nowhere/x")

    def test_a_study_is_not_submitted_whose_workers_could_keep_no_file(
        self, s3, tmp_path, simulated, monkeypatch
    ):
        monkeypatch.chdir(tmp_path)
        command = ["submit", str(default_spec("demo/joint.toml")), "--train", str(simulated)]
        refused = CliRunner().invoke(app, [*command, "--artifacts", "s3://nowhere/x"])
        assert isinstance(refused.exception, CannotWrite)
        assert "s3://nowhere/x: there is no such bucket" in str(refused.exception)
        assert list(tmp_path.iterdir()) == []  # no database
        monkeypatch.setenv("ATML_ARTIFACTS", f"s3://{BUCKET}/lab")
        assert "demo: submitted" in CliRunner().invoke(app, command).stdout

    def test_a_name_that_no_bucket_can_have(self, s3):
        with pytest.raises(StorageError, match="not a valid bucket name"):
            open_artifacts("s3://No Bucket/x")

    def test_no_credentials(self, s3, monkeypatch):
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        with pytest.raises(CannotWrite, match="no S3 credentials; set AWS_ACCESS_KEY_ID"):
            open_artifacts(f"s3://{BUCKET}")

    def test_no_server(self, s3, monkeypatch):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{port}")
        monkeypatch.setattr("atml.service.s3.ATTEMPTS", 1)
        with pytest.raises(CannotWrite, match="the S3 server does not answer"):
            open_artifacts(f"s3://{BUCKET}")

    def test_no_boto3(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "boto3", None)
        with pytest.raises(StorageError, match=r"need boto3: pip install 'atml\[s3\]'"):
            open_artifacts(f"s3://{BUCKET}")

    def test_a_folder_that_cannot_be(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(CannotWrite, match=r"cannot write .*file/artifacts: (Not a|File exists)"):
            open_artifacts(tmp_path / "file" / "artifacts")


class TestFailedUploads:
    """What cannot be kept leaves neither a record without a file nor a file without a record."""

    @pytest.fixture
    def study(self, storage):
        return optuna.create_study(storage=storage)

    @staticmethod
    def records_of(study):
        (trial,) = study.trials
        return get_all_artifact_meta(study_or_trial=trial, storage=study._storage)

    def test_a_folder_that_is_gone_is_named_with_the_reason(self, study, tmp_path):
        place = tmp_path / "artifacts"
        keep = keep_files(open_artifacts(place))
        place.rmdir()
        with pytest.raises(CannotWrite, match=f"cannot write {place}/.*: its folder is gone; restore it"):
            study.optimize(kept_by(keep), n_trials=1)
        assert self.records_of(study) == []

    def test_a_disk_that_is_full_after_the_model(self, study, tmp_path, monkeypatch):
        place = tmp_path / "artifacts"
        keep = keep_files(open_artifacts(place))
        calls = []

        def sync(descriptor):
            calls.append(descriptor)
            if len(calls) > 1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", sync)
        with pytest.raises(CannotWrite, match=f"cannot write {place}/.*: its disk is full; make room there"):
            study.optimize(kept_by(keep), n_trials=1)
        assert self.records_of(study) == []
        assert list(place.iterdir()) == []

    def test_a_bucket_that_is_gone(self, study, s3):
        s3.create_bucket(Bucket="brief")
        keep = keep_files(open_artifacts("s3://brief/lab"))
        s3.delete_bucket(Bucket="brief")
        with pytest.raises(CannotWrite, match=r"^s3://brief/lab: there is no such bucket; create it first$"):
            study.optimize(kept_by(keep), n_trials=1)
        assert self.records_of(study) == []

    def test_a_bucket_that_denies_access(self, study, s3):
        s3.create_bucket(Bucket="locked")
        keep = keep_files(open_artifacts("s3://locked"))
        deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "*"}
        s3.put_bucket_policy(Bucket="locked", Policy=json.dumps({"Statement": [deny]}))
        with pytest.raises(CannotWrite, match=r"^s3://locked: the S3 server refuses these credentials"):
            study.optimize(kept_by(keep), n_trials=1)
        assert self.records_of(study) == []


def test_what_is_only_read_need_not_be_writable_or_there(tmp_path):
    store = open_artifacts(tmp_path / "nowhere", only_reading=True)
    with pytest.raises(optuna.artifacts.exceptions.ArtifactNotFound):
        store.open_reader("nothing")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("s3://b", ("b", "")),
        ("s3://b/", ("b", "")),
        ("s3://b/x/y/", ("b", "x/y")),
        ("s3://b//x", ("b", "x")),
        ("S3://b/x", ("b", "x")),
        (Path("s3://b/x"), ("b", "x")),
    ],
)
def test_a_url_is_a_bucket_and_a_prefix(url, parts):
    assert split_s3(url) == parts


def test_logs_and_fits_stay_on_this_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("ATML_CACHE", str(tmp_path))
    assert local_folder("artifacts") == Path("artifacts")
    assert local_folder(tmp_path) == tmp_path
    assert local_folder("s3://hearts/lab") == tmp_path / "s3" / "hearts" / "lab"
