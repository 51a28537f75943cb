"""What the pages in `docs/` tell people to type: it must be understood by those who read it."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import atml
from atml.cli.main import app

ROOT = Path(__file__).parents[2]
SCALE = (ROOT / "docs" / "scale.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", SCALE, re.DOTALL)


def atml_commands():
    lines = [
        line for language in ("console", "bash") for block in blocks(language) for line in block.splitlines()
    ]
    commands = [re.sub(r"^(\$ |srun )", "", line) for line in lines]
    for document in blocks("yaml"):
        (container,) = yaml.safe_load(document)["spec"]["template"]["spec"]["containers"]
        commands.append(shlex.join(["atml", *container["args"]]))
    return [command for command in commands if command.startswith("atml ")]


def test_there_are_commands_for_slurm_kubernetes_and_by_hand():
    verbs = [command.split()[1] for command in atml_commands()]
    assert sorted(verbs) == ["worker"] * 4


@pytest.mark.parametrize("command", atml_commands())
def test_a_command_names_options_that_there_are(command):
    verb, *arguments = shlex.split(command)[1:]
    known = CliRunner().invoke(app, [verb, "--help"]).output
    assert [one for one in arguments if one.startswith("--") and one not in known] == []


@pytest.mark.parametrize("script", blocks("bash"))
def test_a_script_is_a_script(script):
    assert subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0


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


def test_the_api_page_shows_every_public_name(tmp_path):
    command = [sys.executable, "-m", "pdoc", "--docformat", "google", "--output-directory", tmp_path]
    subprocess.run([*command, "atml", "!atml.cli"], check=True, cwd=ROOT, capture_output=True)
    page = (tmp_path / "atml.html").read_text()
    assert [name for name in atml.__all__ if f'id="{name}"' not in page] == []
