"""What the command line does where output is impossible, and with errors that no part of ATML expected."""

import errno
import os
import signal
import subprocess
import sys

import pytest
import torch

from atml.cli import main as cli
from tests.conftest import default_signals
from tests.waiting import PATIENCE_SECONDS, until


@pytest.fixture(autouse=True)
def _same_signals():
    """Restore the handlers that `main` replaces."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def atml(command, **environment):
    """Run a shell command in which `atml` is ATML."""
    shell = f'atml() {{ "{sys.executable}" -m atml "$@"; }}; {command}'
    return subprocess.run(
        ["bash", "-c", shell], capture_output=True, text=True, env={**os.environ, **environment}
    )


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_is_told_in_one_sentence(unbuffered):
    commands = "atml data check --help > /dev/full; atml --version > /dev/full"
    done = atml(commands, PYTHONUNBUFFERED=unbuffered)
    assert done.stderr.splitlines() == ["Error: the output: its disk is full; make room there"] * 2
    assert done.returncode == 1


def test_closed_output_is_no_error():
    assert atml("atml --version >&-").returncode == 0
    assert atml("atml --version 2>&-").stdout.startswith("atml ")


def test_a_terminal_that_knows_only_ascii_gets_what_it_can_show():
    done = atml("atml search spéc.toml", PYTHONIOENCODING="ascii")
    assert done.returncode == 1
    assert "c.toml: no such spec" in done.stderr


def test_a_full_disk_of_temporary_files_is_not_that_of_the_output(monkeypatch, capsys):
    def full():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cli, "app", full)
    with pytest.raises(SystemExit, match="1"):
        cli.main()
    assert "Error: a temporary file in /" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_terminated_command_cleans_up_as_after_ctrl_c(start, tmp_path, number):
    out = tmp_path / "segments"
    process = start("data", "simulate", out, "--subjects", 1000)
    until(lambda: list(tmp_path.glob(".segments.*.tmp/*")))
    process.send_signal(number)
    assert process.wait(PATIENCE_SECONDS) == 130
    assert "Interrupted. Run the same command again" in process.stderr.read()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", ["typer", "atml.cli.finalize", "atml.cli.main"])
def test_ctrl_c_while_the_commands_are_imported_ends_without_a_traceback(tmp_path, module):
    # Python imports `sitecustomize` first; the finder in it presses Ctrl-C at the import of `module`.
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "class Press:\n"
        "    def find_spec(name, path=None, target=None):\n"
        f"        if name == {module!r}:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Press)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "atml", "--version"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        preexec_fn=default_signals,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_under_nohup_a_command_outlives_its_terminal():
    program = "import os, signal, sys; from atml.cli import main as cli; "
    program += "cli.app = lambda: (os.kill(os.getpid(), signal.SIGHUP), print('still here')); cli.main()"
    done = atml(f"trap '' HUP; '{sys.executable}' -c \"{program}\"")
    assert done.stdout == "still here\n"


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

    def test_ctrl_c_while_a_package_is_imported_is_no_defect(self, monkeypatch, capsys):
        def interrupted():
            try:
                raise KeyboardInterrupt
            except KeyboardInterrupt as error:
                raise ImportError("initialization failed") from error  # as pybind11 does

        monkeypatch.setattr(cli, "app", interrupted)
        with pytest.raises(SystemExit, match="130"):
            cli.main()
        assert capsys.readouterr().err.startswith("Interrupted. Run the same command again")

    def test_one_is_shown_whole_if_asked_for(self, monkeypatch):
        monkeypatch.setenv(cli.DEBUG, "1")
        with pytest.raises(ZeroDivisionError):
            cli.main()
