"""`atml doctor`: what is there, what is missing, and what to install."""

import json
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from atml import doctor
from atml.cli.main import app
from atml.service.storage import open_storage
from tests.conftest import ROOT
from tests.databases import close, on_both_databases
from tests.disks import small_disk


def found(storage="sqlite:///none.db", artifacts="artifacts"):
    return {one.name: one for one in doctor.examine(storage, artifacts)}


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_everything_that_a_search_needs_is_there(tmp_path):
    findings = found()
    assert all(one.ok for one in findings.values() if one.required)
    assert findings["torch"].found[0].isdigit()
    assert list(tmp_path.iterdir()) == []


@on_both_databases
def test_a_storage_comes_with_its_version_and_its_studies(storage_url):
    assert "no study was ever kept here" in found(storage_url)["storage"].found or "sqlite" in storage_url
    close(open_storage(storage_url))
    storage = found(storage_url)["storage"]
    assert storage.ok
    kind, version, *rest = storage.found.split()
    assert kind == ("SQLite" if "sqlite" in storage_url else "PostgreSQL")
    assert version.split(".")[0].isdigit()
    assert rest == ["with", "0", "studies"]


def test_a_storage_that_cannot_be_reached_is_told_without_its_password():
    run = CliRunner().invoke(app, ["doctor", "--json", "--storage", "postgresql://me:hunter2@127.0.0.1:1/db"])
    document = json.loads(run.stdout)
    (storage,) = [one for one in document["findings"] if one["name"] == "storage"]
    assert "no PostgreSQL server answers" in storage["found"]
    assert not storage["ok"]
    assert not document["ready"]
    assert run.exit_code == 1
    assert "hunter2" not in run.output


def test_a_missing_package_comes_with_what_to_install(monkeypatch):
    monkeypatch.setattr(doctor, "OPTIONAL", (("atml-nothing", "nothing", "formats"),))
    finding = found()["atml-nothing"]
    assert (finding.ok, finding.required) == (False, False)
    assert finding.advice == "pip install 'atml[formats]'"


def test_a_missing_required_package_is_exit_code_1(monkeypatch):
    monkeypatch.setattr(doctor, "REQUIRED", ("atml-nothing",))
    run = CliRunner().invoke(app, ["doctor"])
    assert "MISSING  atml-nothing        not installed" in run.output
    assert "ATML cannot search here yet" in run.output
    assert run.exit_code == 1


def test_missing_compilers_come_with_their_debian_packages(monkeypatch):
    monkeypatch.setenv("PATH", "")
    findings = found()
    assert findings["arm-none-eabi-gcc"].advice == "apt-get install gcc-arm-none-eabi"
    assert [findings[name].ok for name in ("cc", "picolibc", "qemu-system-arm")] == [False] * 3
    assert all(one.ok for one in findings.values() if one.required)


def test_broken_packages_are_told_and_the_rest_is_examined(tmp_path):
    for package in ("torch", "onnxruntime"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("raise ImportError('libcudart.so: no such file')")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    command = [sys.executable, "-m", "atml", "doctor", "--json"]
    run = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
    findings = {one["name"]: one for one in json.loads(run.stdout)["findings"]}
    for package in ("torch", "onnxruntime"):
        assert findings[package]["found"] == "cannot be imported: libcudart.so: no such file"
    assert findings["storage"]["ok"]
    assert findings["C code"]["found"].startswith("not examined: ")
    assert run.returncode == 1


def test_a_storage_on_a_read_only_disk_is_told(tmp_path):
    with small_disk(tmp_path / "disk", mebibytes=2) as disk:
        url = f"sqlite:///{disk.folder / 'atml.db'}"
        close(open_storage(url))
        with disk.read_only():
            storage = found(url)["storage"]
    assert not storage.ok
    assert storage.found.endswith("with 0 studies, which can only be read")


@pytest.fixture
def read_only_here(tmp_path, monkeypatch):
    """Work in a folder of a disk that cannot be written."""
    with small_disk(tmp_path / "disk", mebibytes=2) as disk, disk.read_only():
        monkeypatch.chdir(disk.folder)
        yield
        monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("storage", "artifacts", "missing"),
    [
        ("sqlite:///{tmp}/atml.db", "{tmp}/artifacts", set()),
        ("sqlite:///atml.db", "{tmp}/artifacts", {"working folder"}),
        ("sqlite:///{tmp}/atml.db", "artifacts", {"working folder", "artifacts"}),
        ("sqlite:///{tmp}/atml.db", "{tmp}/disk/below/artifacts", {"working folder", "artifacts"}),
    ],
)
def test_a_read_only_working_folder_matters_if_a_search_writes_there(
    read_only_here, tmp_path, storage, artifacts, missing
):
    findings = found(storage.format(tmp=tmp_path), artifacts.format(tmp=tmp_path))
    assert not findings["working folder"].ok
    assert {name for name, one in findings.items() if one.required and not one.ok} == missing


def test_artifacts_that_cannot_be_kept_are_told(tmp_path):
    (tmp_path / "notes.txt").touch()
    for place, said in [
        ("s3://", "names no bucket"),
        ("ftp://host/x", "or in s3://BUCKET/PREFIX but got ftp"),
        ("notes.txt", "notes.txt: cannot be written to"),
    ]:
        artifacts = found(artifacts=place)["artifacts"]
        assert said in artifacts.found
        assert (artifacts.ok, artifacts.required) == (False, True)


def test_the_artifacts_of_the_environment_are_examined(monkeypatch):
    monkeypatch.setenv("ATML_ARTIFACTS", "s3://")
    run = CliRunner().invoke(app, ["doctor"])
    assert "MISSING  artifacts           s3://: names no bucket" in run.output
    assert run.exit_code == 1


def test_a_cache_below_a_folder_that_may_not_be_entered_is_told(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir(mode=0)
    monkeypatch.setenv("ATML_CACHE", str(tmp_path / "closed" / "cache"))
    is_root = os.geteuid() == 0
    if is_root:  # who may enter any folder
        os.seteuid(65534)
    try:
        (cache,) = doctor._cache()
    finally:
        if is_root:
            os.seteuid(0)
    assert cache.found.startswith(str(tmp_path / "closed" / "cache"))
