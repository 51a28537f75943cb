"""Progress on standard error: a live view in a terminal, one line per event in a log."""

import sys
from contextlib import AbstractContextManager, suppress

from optuna.trial import FrozenTrial, TrialState
from rich.console import Group
from rich.live import Live
from rich.text import Text

from atml.cli.console import bar, clock, err
from atml.errors import CannotWrite, StorageUnreachable
from atml.service.stored import StoredStudy
from atml.service.watch import StudyWatch, Update, Watch
from atml.tuning import records
from atml.tuning.failures import ended_by_error, has_traceback, reason_of
from atml.tuning.progress import Progress, RunningTrial, progress
from atml.words import counted, kilobytes

BAR_CELLS = 12
MOST_COLUMNS = 120  # of a line about a trial


class Terminal(Watch):
    """Prints messages, progress bars and a study's trials."""

    def say(self, text: str) -> None:
        """Print a message."""
        err().print(text)

    def progress(self, what: str, unit: str) -> AbstractContextManager[Update]:
        """Show a progress bar."""
        return bar(what, unit)

    def study(self, stored: StoredStudy) -> AbstractContextManager[StudyWatch]:
        """Show the trials of a study."""
        return StudyDisplay(stored)


class StudyDisplay(StudyWatch):
    """Shows what all workers of a study do, on any number of machines.

    It reads only the storage; workers print nothing that could disturb it.
    """

    def __init__(self, stored: StoredStudy) -> None:
        self._stored = stored
        self._console = err()
        self._seen: set[int] | None = None
        self._best: FrozenTrial | None = None
        self._blind = False
        self._error_told = False
        self._overdue_told = False
        self._live = (
            Live(console=self._console, auto_refresh=False, transient=True) if sys.stderr.isatty() else None
        )

    def __enter__(self) -> "StudyDisplay":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def say(self, text: str) -> None:
        """Print a message above the live view."""
        with suppress(OSError):  # a full disk or a terminal that is gone must not end the search
            self._console.print(text)

    def update(self) -> None:
        """Read the study and show what is new; report once if the database is unreachable."""
        try:
            self._stored = self._stored.latest()
            now = progress(self._stored.snapshot())
        except StorageUnreachable as error:
            if not self._blind:
                self.say(f"{error}; the workers wait for it")
            self._blind = True
            return
        except CannotWrite:
            return  # the workers get it too, and report it as they leave
        self._blind = False
        finished = {trial.number for trial in now.finished}
        news = finished - self._seen if self._seen is not None else set()
        self._seen = finished
        for trial in now.finished:
            if trial.number in news:
                self.say(_fitting(_finished_line(trial, now)))
        self._tell_lower_best(now)
        self._tell_first_error(now)
        self._tell_overdue(now)
        if self._live:
            with suppress(OSError):
                self._live.update(_live_view(now), refresh=True)

    def _tell_lower_best(self, now: Progress) -> None:
        """Say why the F-beta of the best trial has fallen: the targets decide, not F-beta alone."""
        before, self._best = self._best, now.best
        if before is None or now.best is None or records.fbeta(now.best) >= records.fbeta(before):
            return
        if before.state != TrialState.COMPLETE:  # its F-beta is of fewer folds
            return
        old, new = (kilobytes(records.onnx_bytes(trial)) for trial in (before, now.best))
        self.say(
            f"best is now trial {now.best.number} although its F-beta is lower than that of trial "
            f"{before.number}: {new} instead of {old} suits the targets better"
        )

    def _tell_overdue(self, now: Progress) -> None:
        if now.overdue is not None and not self._overdue_told:
            self._overdue_told = True
            minutes = now.snapshot.phase.budget.minutes
            self.say(
                f"The {minutes:g} min are over before any trial has finished: trial {now.overdue} "
                "may finish. For more, raise budget.minutes and add --extend to the same command"
            )

    def _tell_first_error(self, now: Progress) -> None:
        failed = ended_by_error(now.finished)
        if failed and not self._error_told:
            self._error_told = True
            first = failed[0]
            log = "; its worker's log has the traceback" if has_traceback(first) else ""
            self.say(
                f"Trial {first.number} ended with an error and is not tried again: {reason_of(first)}{log}"
            )


def _finished_line(trial: FrozenTrial, now: Progress) -> str:
    what = f"trial {trial.number:>3} {records.architecture(trial):<15}{_rate(records.learning_rate(trial))}"
    if trial.state == TrialState.COMPLETE:
        seconds = records.training_seconds(trial)
        size = kilobytes(records.onnx_bytes(trial))
        return f"{what} F-beta {records.fbeta(trial):.4f} {size:>8} {seconds:.0f} s │ {_summary(now)}"
    if trial.state == TrialState.PRUNED:
        epochs = len(records.curve(trial))
        when = f"after {counted(epochs, 'epoch')}" if epochs else "untrained"
        because = trial.user_attrs.get(records.PRUNED_BECAUSE, "")
        return f"{what} pruned {when} by {trial.user_attrs.get(records.PRUNED_BY)}: {because}"
    return f"{what} interrupted; queued again"


def _fitting(line: str) -> str:
    """Cut a line to what fits; the storage holds the whole reason."""
    return line if len(line) <= MOST_COLUMNS else f"{line[: MOST_COLUMNS - 1]}…"


def _rate(rate: float | None) -> str:
    return "" if rate is None else f" lr {rate:<8.3g}"


def trained_of_budget(now: Progress) -> str:
    """Return how many trials were trained, of how many that the budget allows."""
    budget = now.snapshot.phase.budget.trials
    return f"{now.spent.trained}/{budget}" if budget else f"{now.spent.trained}"


def _summary(now: Progress) -> str:
    parts = [trained_of_budget(now)]
    if now.best is not None:
        parts.append(f"best {records.fbeta(now.best):.4f} (trial {now.best.number})")
    if now.seconds_left is not None:
        parts.append(f"about {clock(now.seconds_left)} left" if now.seconds_left else "the budget is spent")
    return " · ".join(parts)


def _live_view(now: Progress) -> Group:
    untrained = f" · {now.spent.untrained} pruned untrained" if now.spent.untrained else ""
    lines = [
        Text(
            f"{now.snapshot.study}: trained {_summary(now)}{untrained}",
            style="bold",
            no_wrap=True,
            overflow="ellipsis",
        )
    ]
    lines += [Text(_running_line(trial), no_wrap=True, overflow="ellipsis") for trial in now.running]
    return Group(*lines)


def so_far(trial: RunningTrial) -> str:
    """Return the F-beta of a running trial, nothing before it has one."""
    return "" if trial.fbeta is None else f" F-beta {trial.fbeta:.4f}"


def _running_line(trial: RunningTrial) -> str:
    filled = round(BAR_CELLS * trial.epoch / trial.epochs)
    meter = "█" * filled + "░" * (BAR_CELLS - filled)
    size = kilobytes(trial.onnx_bytes) if trial.onnx_bytes else ""
    return (
        f"  {meter} trial {trial.number:>3} {trial.architecture:<15}{_rate(trial.learning_rate)} "
        f"fold {trial.fold} epoch {trial.epoch}/{trial.epochs}{so_far(trial)} {size} "
        f"[{trial.host} {trial.pid}]"
    )
