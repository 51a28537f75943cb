"""What a newcomer types first, and what the commands say then."""

import json
import os
import pty
import shutil
import subprocess
import sys
import tomllib

import pytest

from atml.api import search
from atml.cli.run import SIMULATED
from atml.reports.html.toml import spec_as_toml
from atml.service.storage import open_storage
from atml.service.studies import create_or_resume
from atml.service.watch import Watch
from atml.tuning.stop import Stop, StoppedBy, request_stop
from tests.conftest import ROOT


def in_a_terminal(folder, *arguments):
    """Run `atml` with a terminal as its output, and return what it shows."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "atml", *arguments], cwd=folder, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 1 << 16)
        except OSError:  # Linux's end of a terminal
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert process.wait() == 0, shown
    return shown.decode()


def test_specs_travel_with_the_package(tmp_path):
    """Outside any checkout, with the files that the wheel holds."""
    wheel = tomllib.loads(ROOT.joinpath("pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"][
        "wheel"
    ]
    for source, target in {**{name: name for name in wheel["packages"]}, **wheel["force-include"]}.items():
        shutil.copytree(ROOT / source, tmp_path / "installed" / target)
    code = "import atml, atml.defaults; print(atml.__file__, *atml.defaults.specs_folder().rglob('*.toml'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True,
        text=True,
        check=True,
    )
    package, *specs = done.stdout.split()
    assert package == str(tmp_path / "installed" / "atml" / "__init__.py")
    shipped = {path.relative_to(ROOT / "studies") for path in (ROOT / "studies").rglob("*.toml")}
    assert {*specs} == {str(tmp_path / "installed" / "atml" / "studies" / path) for path in shipped} != set()


def test_a_bare_run_says_what_to_give_and_leaves_nothing_behind(call, tmp_path):
    done = call(tmp_path, "run")
    assert (done.returncode, done.stdout) == (1, "")
    assert "give --train DIR, or --demo to try ATML on simulated segments" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("also", [["--train", "mine"], ["--test", "mine"]])
def test_a_demo_takes_no_segments_of_the_users(call, tmp_path, also):
    done = call(tmp_path, "run", "--demo", *also)
    assert done.returncode == 1
    assert "--demo uses simulated segments" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_demo_says_what_it_does_before_it_writes_anything(call, tmp_path):
    (tmp_path / SIMULATED.parts[0]).write_text("no folder can be made here")
    done = call(tmp_path, "run", "--demo")
    first, *_ = done.stderr.splitlines()
    assert first.startswith("Demo: about two minutes on SIMULATED segments in data/simulated")
    assert done.returncode == 1
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


class Stopping(Watch):
    """Ends what it watches at the first message."""

    def say(self, text):
        raise InterruptedError(text)


def test_a_search_says_with_which_data_for_how_long_and_where_it_writes_before_it_does(
    tmp_path, phase1_document, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    document = {**phase1_document, "budget": {"trials": 1, "minutes": 16}}
    url = "postgresql://anna:secret@nowhere.invalid/atml"
    with pytest.raises(InterruptedError) as said:
        search(document, storage=url, artifacts="files", watch=Stopping())
    about, places = str(said.value).splitlines()
    assert about == f"first: searching {document['data']['train']} for at most 1 trial or 16 min"
    assert places.startswith("Writes studies to postgresql://anna:***@nowhere.invalid/atml, files to files;")
    assert list(tmp_path.iterdir()) == []


def test_a_command_ends_with_the_next_step_in_a_terminal_but_not_when_piped(call, tmp_path):
    simulate = ["data", "simulate", "ecg", "--subjects", "2", "--segments", "2"]
    assert "\nNext: atml data check ecg" in in_a_terminal(tmp_path, *simulate)
    assert "Next: atml run --train ecg" in in_a_terminal(tmp_path, "data", "check", "ecg")
    assert "Next:" not in in_a_terminal(tmp_path, "data", "check", "ecg", "--json")
    assert "Next:" not in call(tmp_path, "data", "check", "ecg").stdout


def test_the_next_step_names_another_storage(tmp_path):
    open_storage(f"sqlite:///{tmp_path / 'other.db'}")
    shown = in_a_terminal(tmp_path, "status", "--storage", "sqlite:///other.db")
    assert "Next: atml run --demo --storage …" in shown


@pytest.mark.parametrize(
    ("name", "option"), [("joint", "--spec"), ("phase1", "--phase1"), ("phase2", "--phase2")]
)
def test_a_copied_spec_comes_with_the_command_that_takes_it(name, option, call, tmp_path):
    assert f"`atml run {option} specs/{name}.toml" in call(tmp_path, "specs", "copy", name, "specs").stdout


class TestExitCodes:
    """`--check-targets`, after trials whose F-beta is recorded."""

    @pytest.fixture
    def ended(self, storage, storage_url, dataset, make_phase1, make_trial, call, tmp_path):
        def ended(fbeta, by, targets):
            stored = create_or_resume(storage, make_phase1(targets=targets), dataset)
            stored.study.add_trial(make_trial(curve=(fbeta,)))
            if by:
                request_stop(stored.study, Stop(by=by, because="a reason"))
            return call(tmp_path, "status", "first", "--check-targets", "--storage", storage_url)

        return ended

    @pytest.mark.parametrize(
        ("fbeta", "by", "code"),
        [
            (0.95, StoppedBy.BUDGET, 0),
            (0.95, None, 0),
            (0.85, StoppedBy.BUDGET, 3),
            (0.85, StoppedBy.USER, 4),
            (0.85, None, 4),
        ],
    )
    def test_targets_met_missed_and_not_over_differ(self, ended, fbeta, by, code):
        assert ended(fbeta, by, {"fbeta": 0.9}).returncode == code

    def test_a_study_without_targets_cannot_be_asked(self, ended):
        done = ended(0.95, None, {})
        assert done.returncode == 1
        assert "has no targets" in done.stderr

    @pytest.mark.parametrize("command", [["search", "spec.toml"], ["run", "--spec", "spec.toml"]])
    def test_a_spec_without_targets_is_refused_before_the_search(
        self, command, call, tmp_path, phase1_document
    ):
        (tmp_path / "spec.toml").write_text(spec_as_toml({**phase1_document, "targets": {}}))
        done = call(tmp_path, *command, "--train", phase1_document["data"]["train"], "--check-targets")
        assert done.returncode == 1
        assert "--check-targets: spec.toml has no targets" in done.stderr
        assert not (tmp_path / "atml.db").exists()

    def test_a_study_has_to_be_named(self, call, tmp_path):
        assert call(tmp_path, "status", "--check-targets").returncode == 2
        assert list(tmp_path.iterdir()) == []

    def test_a_search_tells_it_too_once_its_result_is_printed(self, call, tmp_path, phase1_document):
        # A user's file is not the library of that name, in workers either.
        (tmp_path / "random.py").write_text("raise ImportError('the wrong random')")
        spec = {**phase1_document, "budget": {"trials": 1}, "targets": {"fbeta": 0.999}}
        (tmp_path / "spec.toml").write_text(spec_as_toml(spec))
        train = ["--train", spec["data"]["train"]]
        command = ["search", "spec.toml", *train, "--workers", "1", "--device", "cpu"]
        assert call(tmp_path, *command).returncode == 0
        done = call(tmp_path, *command, "--check-targets", "--json")
        assert done.returncode == 3
        assert json.loads(done.stdout)["targets_met"] is False
