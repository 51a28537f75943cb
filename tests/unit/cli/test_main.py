"""What the command line does where output is impossible, and with errors that no part of ATML expected."""

import os
import subprocess
import sys

import pytest
import torch

from atml.cli import main as cli


def atml(command, **environment):
    """Run a shell command in which `atml` is ATML."""
    shell = f'atml() {{ "{sys.executable}" -m atml "$@"; }}; {command}'
    return subprocess.run(
        ["bash", "-c", shell], capture_output=True, text=True, env={**os.environ, **environment}
    )


def test_a_full_disk_is_told_in_one_sentence():
    done = atml("atml data check --help > /dev/full; atml --version > /dev/full")
    assert done.stderr.splitlines() == ["Error: the output: its disk is full; make room there"] * 2
    assert done.returncode == 1


def test_closed_output_is_no_error():
    assert atml("atml --version >&-").returncode == 0
    assert atml("atml --version 2>&-").stdout.startswith("atml ")


def test_a_terminal_that_knows_only_ascii_gets_what_it_can_show():
    done = atml("atml search spéc.toml", PYTHONIOENCODING="ascii")
    assert done.returncode == 1
    assert "c.toml: no such spec" in done.stderr


class TestUnexpectedErrors:
    @pytest.fixture(autouse=True)
    def _broken(self, monkeypatch):
        def broken():
            raise ZeroDivisionError("division by zero\nmore")

        monkeypatch.setattr(cli, "app", broken)
        monkeypatch.delenv(cli.DEBUG, raising=False)

    def test_one_is_told_in_a_sentence_with_what_to_do(self, capsys):
        with pytest.raises(SystemExit, match="1"):
            cli.main()
        said = capsys.readouterr().err
        assert said.startswith("Error: ZeroDivisionError: division by zero\nThis is a defect of ATML")
        assert "atml --debug" in said

    def test_too_little_memory_is_no_defect(self, monkeypatch, capsys):
        def exhausted():
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

        monkeypatch.setattr(cli, "app", exhausted)
        with pytest.raises(SystemExit, match="1"):
            cli.main()
        said = capsys.readouterr().err
        assert "CUDA out of memory" in said
        assert "fewer workers" in said
        assert "defect" not in said

    def test_one_is_shown_whole_if_asked_for(self, monkeypatch):
        monkeypatch.setenv(cli.DEBUG, "1")
        with pytest.raises(ZeroDivisionError):
            cli.main()
