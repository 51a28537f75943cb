"""The pages of the documentation: every block of code runs, or at least would be understood."""

import configparser
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib

import jsonschema
import pytest
import typer.main
import yaml
from scipy.signal import butter

from atml.cli.main import app
from atml.ecg import SAMPLING_RATE_HZ
from atml.ecg.cutting import FILTER_ORDER, PASS_BAND_HZ
from atml.tuning.phases import parse_spec
from tests.acceptance.conftest import call_atml
from tests.acceptance.pages import DOCS, PAGES, ROOT, blocks, every

sys.path.insert(0, str(DOCS))
import json_schemas as schemas

# In this order in one folder, since a how-to page works on what the tutorial made.
RUN = [
    "tutorial.md",
    *(
        f"howto/{name}.md"
        for name in (
            "segments",
            "targets",
            "finalize",
            "report",
            "recordings",
            "mlflow",
            "service",
            "gpu",
            "int8",
        )
    ),
]
COMMANDS = typer.main.get_command(app)
# The first test pays for running all the pages, which takes about a minute and a half on a quiet machine.
pytestmark = pytest.mark.timeout(900)


class Reader:
    """Someone who pastes the commands of the pages one by one."""

    def __init__(self, folder):
        self.folder = folder
        self.bundle = ""

    def type(self, command):
        """Do what a shell does with a command, and return its exit code and output."""
        environment = {**os.environ, "BUNDLE": self.bundle}
        if command.startswith("atml "):  # within this process, since a process takes seconds to start
            words = self.bash(f"printf '%s\\0' {command.removeprefix('atml ')}", environment).stdout
            return call_atml(self.folder, *words.split("\0")[:-1])
        if command.startswith("BUNDLE="):
            self.bundle = self.bash(f"{command}; printf %s $BUNDLE", environment).stdout
            return subprocess.CompletedProcess(command, 0, "", "")
        return self.bash(command, environment)

    def bash(self, script, environment):
        return subprocess.run(
            ["bash", "-ec", script], cwd=self.folder, env=environment, capture_output=True, text=True
        )


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """Run every block of the pages in `RUN` that is not marked, and compare the answers shown."""
    reader = Reader(tmp_path_factory.mktemp("reader"))
    for name in RUN:
        for block in blocks(DOCS / name):
            if block.language == "console" and not block.why_not:
                for command, shown in block.commands():
                    done = reader.type(command)
                    assert done.returncode == 0, (name, command, done.stdout, done.stderr)
                    assert not shown or re.fullmatch(pattern(shown), done.stdout), (
                        name,
                        command,
                        done.stdout,
                    )
    return reader


def pattern(shown):
    """Return the pattern of an answer: `…` stands for any text, on a line of its own for any lines."""
    lines = [r"(?:.*\n)*?" if line == "…" else rf" *{_inline(line)} *\n" for line in shown]
    return "".join(lines)


def _inline(line):
    return ".*".join(map(re.escape, line.split("…")))


def test_every_page_with_a_console_block_is_run_or_says_why_not(reader):
    for path in PAGES:
        for block in blocks(path):
            if block.language == "console" and path.name not in ("README.md", "scale.md"):
                assert block.why_not or str(path.relative_to(DOCS)) in RUN, block


def atml_commands():
    """Yield every `atml` command of the pages, of those too that are not run."""
    for block in [*every("console"), *every("bash")]:
        lines = (
            [one for one, _ in block.commands()] if block.language == "console" else block.text.splitlines()
        )
        for line in lines:
            command = re.sub(r"^(\$ |srun |docker compose run --rm worker )", "", line.removesuffix(" &"))
            words = shlex.split(command, comments=True)
            if "docker compose run" in line:
                words.insert(0, "atml")
            if words[:1] == ["atml"]:
                yield shlex.join(words)
    for block in every("yaml"):
        (container,) = yaml.safe_load(block.text)["spec"]["template"]["spec"]["containers"]
        yield shlex.join(["atml", *container["args"]])


@pytest.mark.parametrize("command", sorted({*atml_commands()}))
def test_a_command_is_understood(command):
    found, words = COMMANDS, shlex.split(command)[1:]
    while hasattr(found, "commands") and words:
        found, words = found.commands[words[0]], words[1:]
    words = [
        "3" if "$" in word and words[at - 1] in ("--index", "--threads") else word
        for at, word in enumerate(words)
    ]
    with found.make_context("atml", list(words)) as context:
        assert context.params


def test_there_are_commands_for_slurm_kubernetes_and_by_hand():
    scale = [command for command in atml_commands() if "ecm-phase1" in command and " worker " in command]
    assert len(scale) == 4


@pytest.mark.parametrize("block", every("bash"), ids=lambda block: block.page)
def test_a_script_is_a_script(block):
    assert subprocess.run(["bash", "-n"], input=block.text, text=True).returncode == 0


@pytest.mark.parametrize("block", every("ini"), ids=lambda block: block.page)
def test_a_configuration_file_has_sections_and_names_with_values(block):
    text = block.text if block.text.startswith("[") else f"[postgresql]\n{block.text}"
    parser = configparser.ConfigParser(inline_comment_prefixes="#")
    parser.read_string(text)
    assert all(value for section in parser.sections() for value in parser[section].values())


@pytest.mark.parametrize("block", every("toml"), ids=lambda block: block.page)
def test_a_part_of_a_spec_is_one(block):
    document = tomllib.loads(block.text)
    if "project" in document or "tiny_pool" in block.text:  # the plug-in, which has a test of its own
        return
    parse_spec({"phase": "joint", "name": "mine", **document}, source=block.page)


@pytest.mark.parametrize("block", every("python"), ids=lambda block: block.page)
def test_python_compiles_and_imports_what_there_is(block):
    compile(block.text, block.page, "exec")
    head = "\n".join(line for line in block.text.splitlines() if re.match("(import|from) ", line))
    exec(head, {})


def test_the_readme_names_targets_of_make_and_files_that_there_are():
    readme = ROOT.joinpath("README.md").read_text()
    targets = re.findall(r"^(\w+):", ROOT.joinpath("Makefile").read_text(), re.MULTILINE)
    assert {*re.findall(r"make (\w+)", readme)} <= {*targets}
    links = [link for link in re.findall(r"\]\((?!http)([^)#]+)\)", readme) if link]
    assert [link for link in links if not ROOT.joinpath(link).exists()] == []
    assert len(readme.splitlines()) <= 120


def test_the_filter_for_a_device_is_that_of_the_import():
    text = DOCS.joinpath("microcontroller.md").read_text()
    table = re.search(r"^\| b0 \|.*\n.*\n((?:\|.*\n)+)", text, re.MULTILINE)[1]
    rows = [[float(cell) for cell in line.strip("| ").split("|")] for line in table.splitlines()]
    sections = butter(FILTER_ORDER, PASS_BAND_HZ, "bandpass", fs=SAMPLING_RATE_HZ, output="sos")
    assert sections[:, 3] == pytest.approx(1)  # a0
    assert rows == [pytest.approx(section, abs=1e-8) for section in sections[:, [0, 1, 2, 4, 5]].tolist()]


def documents(reader):
    """Return arguments of each command that prints JSON."""
    data = ["--data", "ecg/test"]
    run = ["--spec", "first.toml", "--name", "first", "--train", "ecg/train", "--test", "ecg/test"]
    segment = min(reader.folder.glob("ecg/test/*.txt"))
    return {
        "run": [*run, "--workers", "2"],
        "search": ["first.toml", "--train", "ecg/train"],
        "status": [],
        "finalize": ["first", "--test", "ecg/test", "--workers", "1"],
        "evaluate": [reader.bundle, *data],
        "predict": [reader.bundle, segment],
        "verify": [reader.bundle, *data],
        "export-c": [reader.bundle, "--out", "code"],
        "export-qdq": [reader.bundle, *data],
        "export-mlflow": ["first", "--tracking-uri", "sqlite:///mlflow.db"],
        "doctor": [],
        "data import": ["ecg/test", "--rate", "250", "--out", "imported"],
        "data show": ["ecg/test"],
        "data check": ["broken"],
        "data audit": ["ecg/train", "--quick", "--folds", "2", "--out", "audit"],
        "data simulate": ["others", "--subjects", "2", "--segments", "2"],
        "specs list": [],
    }


@pytest.mark.parametrize("name", sorted({*schemas.COMMANDS} - {"data fetch"}))  # which downloads
def test_what_a_command_prints_as_json_follows_its_schema(reader, name):
    if name == "data check":
        (reader.folder / "broken").mkdir()
        (reader.folder / "broken" / "S1-N-0.txt").write_text("1\n2\nx\n")
        (reader.folder / "broken" / "S2-AFIB-0.txt").write_text("1\n2\n3\n")
    done = call_atml(reader.folder, *name.split(), *documents(reader)[name], "--json")
    assert done.returncode == (1 if name == "data check" else 0), done.stderr
    jsonschema.validate(json.loads(done.stdout), schemas.schema(schemas.COMMANDS[name]))


def test_scores_of_a_recording_follow_their_schema(reader):
    options = ["--columns", "signal=ecg", "--rate", "250", "--json"]
    (document,) = json.loads(call_atml(reader.folder, "predict", reader.bundle, "day.csv", *options).stdout)
    jsonschema.validate([document], schemas.schema(schemas.COMMANDS["predict"]))
    assert document["record"] == "day"
    assert 0 <= document["burden"] <= 1


@pytest.mark.parametrize("name", schemas.FILES)
def test_a_file_of_a_bundle_follows_its_schema(reader, name):
    document = json.loads((reader.folder / reader.bundle / name).read_text())
    jsonschema.validate(document, schemas.schema(schemas.FILES[name]))


def test_the_script_in_python_runs_to_its_end(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "python.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "ATML_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"results/python-demo/\S+: \d+ bytes, F2 0\.\d{3} on subjects it never saw", done.stdout)
    assert re.search(r"[1-9]\d* of 30 trials were not trained", done.stdout)
