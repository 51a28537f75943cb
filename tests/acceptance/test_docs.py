"""What the pages in `docs/` tell people to type: it must be understood by those who read it."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

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
