"""Console output: results go to standard output, progress to standard error."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_INTERVAL_SECONDS = 5.0


def out() -> "Console":
    """Return the console for results."""
    from rich.console import Console

    # Without a terminal, rich would squeeze tables into 80 columns.
    return Console(
        file=sys.stdout, highlight=False, soft_wrap=False, width=None if sys.stdout.isatty() else 120
    )


def err() -> "Console":
    """Return the console for progress and messages."""
    from rich.console import Console

    return Console(file=sys.stderr, highlight=False, soft_wrap=not sys.stderr.isatty())


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

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit))
    with Progress(*columns, TimeRemainingColumn(), console=err(), transient=True) as progress:
        task = progress.add_task(what, total=None)

        def update(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield update


def _plain_lines(what: str, unit: str) -> Callable[[int, int], None]:
    last = time.monotonic()

    def update(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= PLAIN_INTERVAL_SECONDS:
            last = time.monotonic()
            print(f"{what}: {done}/{total} {unit}", file=sys.stderr)  # noqa: T201

    return update


def kilobytes(count: int) -> str:
    """Format a size in KB; 1 KB = 1000 bytes."""
    return f"{count / 1000:.1f} KB"


def clock(seconds: float) -> str:
    """Format a duration as M:SS or H:MM:SS."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
