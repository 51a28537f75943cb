"""`atml`: parses, calls, and turns errors into one message and an exit code.

Exit codes: 0 success, 1 user error or bad data, 2 wrong usage, 130 interrupted; with --check-targets 3 and 4.
Nothing heavy is imported here, so that `atml --help` is fast.
"""

import contextlib
import io
import os
import signal
import sys
import tempfile
from typing import Annotated, TextIO

import typer

from atml.cli import (
    dashboard,
    doctor,
    evaluate,
    export_c,
    export_mlflow,
    export_qdq,
    finalize,
    predict,
    recordings,
    report,
    run,
    search,
    status,
    stopping,
    submit,
    verify,
    worker,
)
from atml.cli.data import data_app
from atml.cli.specs import specs_app
from atml.errors import AtmlError, CannotWrite
from atml.files import why_unreadable
from atml.interrupts import TERMINATING, handle_signals
from atml.version import __version__
from atml.words import hide_credentials

MISTAKE, INTERRUPTED = 1, 130
INTERRUPTION = "Interrupted. Run the same command again: it continues where it can."
DEBUG = "ATML_DEBUG"

app = typer.Typer(
    name="atml",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help=(
        "Find the smallest and most accurate network that detects atrial fibrillation in a 5 s ECG.\n\n"
        "Start with:  atml run --demo    (simulated segments, about two minutes)\n\n"
        "Then:  atml run --train DIR --test DIR --workers 2"
    ),
)
app.command("run")(run.run)
app.command("search")(search.search)
app.command("submit")(submit.submit)
app.command("worker")(worker.worker)
app.command("status")(status.status)
app.command("stop")(stopping.stop)
app.command("resume")(stopping.resume)
app.command("dashboard")(dashboard.dashboard)
app.command("finalize")(finalize.finalize)
app.command("evaluate")(evaluate.evaluate)
app.command("predict")(predict.predict)
app.command("verify")(verify.verify)
app.command("report")(report.report)
data_app.command("import")(recordings.import_)
data_app.command("fetch")(recordings.fetch)
data_app.command("show")(recordings.show)
app.command("doctor")(doctor.doctor)
app.command("export-c")(export_c.export_c)
app.command("export-qdq")(export_qdq.export_qdq)
app.command("export-mlflow")(export_mlflow.export_mlflow)
app.add_typer(data_app, name="data")
app.add_typer(specs_app, name="specs")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"atml {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an unexpected error arose.")] = False,
) -> None:
    if debug:
        os.environ[DEBUG] = "1"


def main() -> None:
    """Run the command line and exit."""
    _prepare_output()
    handle_signals(TERMINATING, signal.default_int_handler)  # clean up as after Ctrl-C
    try:
        app()
    except CannotWrite as error:
        sys.exit(_cannot_write(error))
    except AtmlError as error:
        _tell(f"Error: {error}")
        sys.exit(MISTAKE)
    except BrokenPipeError:  # the reader, such as `head`, has closed the pipe
        _discard(sys.stdout)
    except OSError as error:
        _tell(f"Error: {error.filename or _unnamed()}: {why_unreadable(error)}")
        sys.exit(MISTAKE)
    except Exception as error:  # what no part of ATML expected
        if _is_interruption(error):
            _tell(INTERRUPTION)
            sys.exit(INTERRUPTED)
        if os.environ.get(DEBUG):
            raise
        _tell(_unexpected(error))
        sys.exit(MISTAKE)
    except SystemExit as exit_:
        if exit_.code == INTERRUPTED:  # typer's answer to Ctrl-C
            _tell(INTERRUPTION)
        raise


def _is_interruption(error: BaseException | None) -> bool:
    """Whether Ctrl-C led to an error; ONNX Runtime, while it is imported, makes an ImportError of it."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _prepare_output() -> None:
    """Make every text printable: where standard output is closed, and where the terminal knows only ASCII."""
    if len(os.environ.get("COLUMNS", "")) > len("9999"):  # rich would make lines that long
        del os.environ["COLUMNS"]
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123  # until the process ends
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _unnamed() -> str:
    """Return what an error without a file name is about."""
    try:
        typer.echo()
    except OSError:
        _discard(sys.stdout)
        return "the output"
    return f"a temporary file in {tempfile.gettempdir()}, or a pipe"


def _discard(*streams: TextIO) -> None:
    """Discard what could not be written, so that flushing it does not fail again at exit."""
    for stream in streams:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _tell(text: str) -> None:
    typer.echo(hide_credentials(text), err=True)


def _unexpected(error: Exception) -> str:
    text = str(error).splitlines()
    said = f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
    if isinstance(error, MemoryError) or "out of memory" in said:
        return f"Error: {said}\nThere is too little memory: run fewer workers, or with --device cpu."
    return (
        f"Error: {said}\nThis is a defect of ATML {__version__}. Run the same command as `atml --debug …` "
        "and report what it prints."
    )


def _cannot_write(error: CannotWrite) -> int:
    """Print the error and return the exit code; a supervised worker informs its supervisor."""
    code = MISTAKE
    pipe = os.environ.get("ATML_ERROR_PIPE")  # the launcher's, which is slow to import
    if pipe is not None:
        from atml.service.launcher import CANNOT_WRITE

        code = CANNOT_WRITE
        with contextlib.suppress(OSError):  # the supervisor is gone
            os.write(int(pipe), str(error).encode())
    try:
        _tell(f"Error: {error}, then run the same command again.")
    except OSError:
        _discard(sys.stdout, sys.stderr)  # the log is on the full disk too
    return code
