"""What a user gets wrong, and Ctrl-C twice: one message, the right exit code, no traceback."""

import json
import os
import re
import socket

import pytest
from typer.testing import CliRunner

from atml.cli.main import app
from atml.service.storage import open_storage
from atml.tuning import records
from tests.databases import close
from tests.waiting import PATIENCE_SECONDS

SPEC = """
phase = "architecture"
name = "mine"
data = { folds = 3 }
search = { architectures = ["linear"] }
"""

EVALUATE = ["evaluate", "text.onnx", "--data", "test"]
NOT_A_NUMBER = [[*EVALUATE, "--beta", "nan"], [*EVALUATE, "--beta", "inf"], [*EVALUATE, "--threshold", "nan"]]
PREDICT = ["predict", "text.onnx", "table.csv", "--columns", "signal=ecg"]
IMPORT = ["data", "import", "train", "--out", "imported"]
TOO_LARGE = [
    ["search", "good.toml", "--workers", "9" * 20],
    ["worker", "--index", "9" * 20],
    ["worker", "--threads", "9" * 20],
    ["data", "simulate", "new", "--subjects", "9" * 20],
    ["data", "simulate", "new", "--first-subject", "9" * 20],
]
COMMANDS = sorted(command.name for command in app.registered_commands)


@pytest.fixture(scope="module")
def atml(workplace):
    """Run a command that must fail, and return its exit code and its message."""
    workplace.write("good.toml", SPEC)
    workplace.write("typo.toml", SPEC + "[bugdet]\ntrials = 1\n")
    workplace.write("infinite.toml", SPEC + "beta = inf\n")
    workplace.write("broken.toml", SPEC + "beta = \n")
    workplace.write("many-folds.toml", SPEC.replace("folds = 3", "folds = 40"))
    workplace.write("text.onnx", "not a model")
    workplace.write("broken-segment.txt", "0.5\nnothing\n")
    (workplace.folder / "empty").mkdir(exist_ok=True)
    os.mkfifo(workplace.folder / "pipe")

    def run(*arguments):
        done = workplace.call(*arguments)
        assert "Traceback" not in done.stderr
        assert done.stdout == ""
        return done.returncode, " ".join(done.stderr.split())

    return run


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["search", "missing.toml", "--train", "train"], ["missing.toml: no such spec"]),
        (["search", "typo.toml", "--train", "train"], ["unknown field `bugdet`; did you mean `budget`?"]),
        (["search", "broken.toml", "--train", "train"], ["broken.toml: not valid TOML", "line 6"]),
        (["search", "good.toml"], ["no training data", "--train DIR"]),
        (["search", "good.toml", "--train", "nowhere"], ["nowhere"]),
        (["search", "good.toml", "--train", "empty"], ["empty", "no segment"]),
        (["search", "many-folds.toml", "--train", "train"], ["40 folds", "Use fewer folds"]),
        (["search", "good.toml", "--train", "train", "--storage", "x.db"], ["not a database URL"]),
        (
            ["search", "good.toml", "--train", "train", "--artifacts", "s3://K:SECRET@b"],
            ["without credentials"],
        ),
        (["run", "--train", "train", "--artifacts", "gs://bucket"], ["s3://BUCKET/PREFIX but got gs://…"]),
        (["worker", "--artifacts", "gs://bucket"], ["s3://BUCKET/PREFIX but got gs://…"]),
        (["dashboard", "--storage", "x.db"], ["not a database URL"]),
        (["dashboard", "--host", "nowhere.invalid"], ["nowhere.invalid: no such host"]),
        (["dashboard", "--host", "a" * 64 + ".org"], ["is not a valid host name"]),
        (["dashboard", "--host", "0.0.0.0"], ["set ATML_DASHBOARD_AUTH=user:password", "delete studies"]),
        (["run", "--train", "train", "--spec", "good.toml"], ['a run takes one spec with phase = "joint"']),
        (["run", "--train", "train", "--phase2", "good.toml"], ['phase = "width"']),
        (["run", "--spec", "a.toml", "--phase1", "b.toml"], ["give one or the other"]),
        (["search", "infinite.toml", "--train", "train"], ["field `beta`", "got inf"]),
        (EVALUATE, ["text.onnx"]),
        (["evaluate", "missing.onnx", "--data", "test"], ["missing.onnx"]),
        (["export-c", "pipe", "--out", "c"], ["pipe cannot be read: not a regular file"]),
        ([*PREDICT, "--minimum", "inf"], ["minimum_seconds must be 0 or more and finite"]),
        ([*IMPORT, "--step", "nan"], ["--step must be more than 0"]),
        ([*IMPORT, "--rate", "nan"], ["its sampling rate is nan Hz"]),
    ],
    ids=lambda value: " ".join(value[:3]) if value and value[0].islower() else "",
)
def test_a_mistake_is_one_message_and_exit_code_1(atml, arguments, parts):
    code, message = atml(*arguments)
    assert [part for part in parts if part not in message] == []
    assert message.count("Error: ") == 1
    assert code == 1


@pytest.mark.parametrize(
    "command",
    [
        ["status"],
        ["stop", "x"],
        ["resume", "x"],
        ["finalize", "x"],
        ["report", "x"],
        ["worker", "x"],
        ["dashboard", "--read-only"],
    ],
    ids=" ".join,
)
def test_what_only_reads_makes_no_database(workplace, atml, command):
    code, message = atml(*command, "--storage", "sqlite:///misspelt.db")
    assert message.startswith("Error: sqlite:///misspelt.db: there is no such file; check the storage")
    assert code == 1
    assert list(workplace.folder.glob("misspelt.db*")) == []


def test_a_bucket_that_cannot_be_used_is_told_before_any_segment_is_read(workplace, atml, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{port}")
    monkeypatch.setattr("atml.service.s3.ATTEMPTS", 1)
    code, message = atml("search", "good.toml", "--train", "train", "--artifacts", "s3://bucket")
    assert "Error: s3://bucket: " in message
    assert "Reading" not in message
    assert code == 1
    assert workplace.trials("mine") == []


def test_a_mistake_in_a_real_process_is_no_different(workplace, atml):
    done = workplace.atml("search", "typo.toml", "--train", "train")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: typo.toml: unknown field `bugdet`")


@pytest.mark.parametrize(
    "arguments",
    [["fly"], ["search"], ["run", "--workers", "0"], ["status", "--no"], *NOT_A_NUMBER, *TOO_LARGE],
)
def test_wrong_usage_is_exit_code_2(atml, arguments):
    assert atml(*arguments)[0] == 2


def test_a_second_ctrl_c_leaves_at_once_and_still_loses_no_trial(workplace):
    # One epoch lasts longer than this test, so nobody can wait for its end.
    workplace.write(
        "long.toml", SPEC.replace("mine", "long") + "[training]\nsegments_per_epoch = 1_000_000\n"
    )
    command = ["search", "long.toml", "--train", "train", "--workers", 1, "--device", "cpu"]
    process = workplace.start(*command)

    def worker_trains():
        return any(records.NETWORK in trial.user_attrs for trial in workplace.trials("long"))

    workplace.wait_for(worker_trains, process)
    workplace.ctrl_c(process)
    for line in process.stderr:
        if "Leaving: the workers finish their epoch" in line:
            break
    assert process.poll() is None
    workplace.ctrl_c(process)
    _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130
    assert "Traceback" not in errors
    states = [trial.state.name for trial in workplace.trials("long")]
    assert states == ["FAIL", "WAITING"]


class TestHelp:
    def test_it_lists_every_command(self):
        shown = CliRunner().invoke(app, ["--help"])
        assert shown.exit_code == 0
        listed = {line.split()[0] for line in shown.output.splitlines() if line.startswith("  ")}
        assert {*COMMANDS, "data"} <= listed

    @pytest.mark.parametrize("command", COMMANDS)
    def test_every_command_shows_an_example_of_itself(self, command):
        shown = CliRunner().invoke(app, [command, "--help"])
        assert shown.exit_code == 0
        assert re.search(rf"Example:\s+atml {command}", shown.output)

    def test_json_of_a_storage_without_studies_has_empty_lists(self, workplace):
        close(open_storage(f"sqlite:///{workplace.folder / 'new.db'}"))
        done = workplace.call("status", "--json", "--storage", "sqlite:///new.db")
        assert json.loads(done.stdout) == {"studies": [], "workers": [], "not_shown": []}
