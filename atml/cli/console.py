"""Console output: results go to standard output, progress to standard error."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, TextIO

import typer

from atml import defaults

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_INTERVAL_SECONDS = 5.0
LEAST_COLUMNS = 60  # of tables


def out() -> "Console":
    """Return the console for results."""
    # Without a terminal, rich would squeeze tables into 80 columns; in a very narrow one it fails.
    console = _console(sys.stdout, width=None if sys.stdout.isatty() else 120)
    console.width = max(LEAST_COLUMNS, console.width)
    return console


def err() -> "Console":
    """Return the console for progress and messages."""
    return _console(sys.stderr, soft_wrap=not sys.stderr.isatty())


def _console(file: TextIO, *, soft_wrap: bool = False, width: int | None = None) -> "Console":
    from rich.console import Console

    # Paths and errors' texts may hold brackets, which rich would read as markup.
    return Console(file=file, highlight=False, markup=False, emoji=False, soft_wrap=soft_wrap, width=width)


def print_json(document: object) -> None:
    """Print a document for scripts, which may hold dataclasses and paths; NaN is refused."""
    from pydantic_core import to_jsonable_python

    plain = to_jsonable_python(document)
    typer.echo(json.dumps(plain, indent=2, allow_nan=False, ensure_ascii=False))


@contextmanager
def bar(what: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Show progress: a bar in a terminal, occasional lines in a log."""
    if sys.stderr.isatty():
        with _rich_bar(what, unit) as update:
            yield update
    else:
        yield _plain_lines(what, unit)


@contextmanager
def _rich_bar(what: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
    )
    with Progress(*columns, TimeRemainingColumn(), console=err(), transient=True) as progress:
        task = progress.add_task(what, total=None)

        def update(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield update


def _plain_lines(what: str, unit: str) -> Callable[[int, int], None]:
    last = time.monotonic()
    first: tuple[int, float] | None = None  # what was done at the start, and when that was
    reached = 0

    def update(done: int, total: int) -> None:
        nonlocal first, last, reached
        now = time.monotonic()
        if first is None or done < reached:  # the next of several recordings
            first = (done, now)
        (before, since), reached = first, done
        if now - last >= PLAIN_INTERVAL_SECONDS:
            last = now
            left = (now - since) / (done - before) * (total - done) if before < done < total else 0
            estimate = f", about {clock(left)} left" if left else ""
            with suppress(OSError):  # a log on a full disk must not end the work
                print(f"{what}: {done}/{total} {unit}{estimate}", file=sys.stderr)  # noqa: T201

    return update


def next_step(command: str, *, storage: str | None = None) -> None:
    """Say what to do next, in a terminal only; `storage` is named in it unless it would be used anyway."""
    if sys.stdout.isatty():
        given = storage not in (None, os.environ.get("ATML_STORAGE", defaults.STORAGE))
        print(f"Next: {command}{' --storage …' if given else ''}")  # noqa: T201


def clock(seconds: float) -> str:
    """Format a duration as MM:SS or H:MM:SS."""
    return str(timedelta(seconds=round(seconds))).removeprefix("0:")
