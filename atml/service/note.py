"""The study's note in the dashboard: whether its targets are met, and its front or ranking."""

import time
from collections.abc import Sequence

from optuna.trial import FrozenTrial

from atml.service.stored import StoredStudy
from atml.tuning import records
from atml.tuning.outcome import Outcome, outcome
from atml.tuning.sizes import SIZE_NAMES

LEAST_SECONDS_BETWEEN = 10.0
# With this many rows the note fits into one attribute of 2,045 characters, which is written atomically.
MOST_ROWS = 10
LINE = "*What stands above is kept up to date by ATML; what you write below stays.*"


class NoteKeeper:
    """Keeps a study's note up to date.

    Only the worker whose trial appears in the note writes while the study runs, so a thousand workers do
    not write more than one.
    """

    def __init__(self, stored: StoredStudy) -> None:
        self._stored = stored
        self._unseen: set[int] = set()
        self._not_before = 0.0

    def update(self, trial: int) -> None:
        """Update the note if `trial` or another that this worker completed is the best or in its table."""
        self._unseen.add(trial)
        if time.monotonic() < self._not_before:
            return
        self._not_before = time.monotonic() + LEAST_SECONDS_BETWEEN
        result = outcome(self._stored.snapshot())
        if self._unseen & {one.number for one in (*result.ranking[:1], *_listed(result))}:
            _write(self._stored, result)
        self._unseen.clear()

    def finish(self) -> None:
        """Write the note as this worker leaves, whether the study has ended or is interrupted."""
        _write(self._stored, outcome(self._stored.snapshot()))


def note(result: Outcome) -> str:
    """Return a study's result so far, in Markdown."""
    lines = [_answer(result), "", *_table(result)]
    spent = result.spent
    ended = f"; ended because {result.stop.because}" if result.stop else ""
    pruned = sum(result.pruned.values())
    lines += ["", f"{spent.trained} trained, {pruned} pruned, of them {spent.untrained} untrained{ended}"]
    return "\n".join(lines)


def with_remarks_of(old: str, ours: str) -> str:
    """Return the note `ours`, followed by the users' remarks in the `old` one."""
    _, line, below = old.partition(LINE)
    remarks = (below if line else old).strip()
    return f"{ours}\n\n---\n{LINE}\n\n{remarks}".rstrip() + "\n"


def _write(stored: StoredStudy, result: Outcome) -> None:
    from optuna_dashboard import get_note, save_note  # takes a second, since it imports scikit-learn

    old = get_note(stored.study)
    new = with_remarks_of(old, note(result))
    if new != old:
        save_note(stored.study, new)


def _answer(result: Outcome) -> str:
    """Return whether the targets are met; the dashboard's own "best" ignores them."""
    best, targets = result.best, result.phase.targets
    if best is None:
        return "\n".join(["**No model yet.**", *(f"- {line}" for line in result.advice)])
    what = f"trial {best.number}: F-beta {records.fbeta(best):.4f}, {_size(best)}"
    wanted = targets.in_words()
    if not wanted:
        return f"**Best so far is {what}**" if result.stop is None else f"**Best is {what}**"
    if result.targets_met:
        return f"**Targets met in the search ({wanted}) by {what}**"
    missed = "missed" if result.stop else "not met yet"
    failed = ", ".join(result.failed_targets)
    lines = [f"**Targets {missed} in the search ({wanted}): {failed}.** Nearest is {what}"]
    if result.stop:
        lines += ["", *(f"- to relax: {line}" for line in result.advice)]
    return "\n".join(lines)


def _listed(result: Outcome) -> Sequence[FrozenTrial]:
    """Return the trials of the table: the front, or the best of each architecture."""
    return result.front if len(result.phase.directions) > 1 else result.best_of_each


def _table(result: Outcome) -> list[str]:
    trials = _listed(result)
    size = SIZE_NAMES[result.phase.targets.size_of]
    lines = [f"| trial | F-beta | {size} | parameters | architecture | learning rate | targets |"]
    lines.append("|--:|--:|--:|--:|:--|--:|:--|")
    for trial in trials[:MOST_ROWS]:
        failed = result.phase.failed_targets(trial)
        verdict = f"misses {', '.join(failed)}" if failed else "met"
        figures = f"{trial.number} | {records.fbeta(trial):.4f} | {_size(trial)}"
        candidate = f"{records.parameters(trial):,} | {records.architecture(trial)}"
        lines.append(f"| {figures} | {candidate} | {records.learning_rate(trial):.3g} | {verdict} |")
    left_out = len(trials) - MOST_ROWS
    return [*lines, "", f"and {left_out} more"] if left_out > 0 else lines


def _size(trial: FrozenTrial) -> str:
    return f"{records.onnx_bytes(trial) / 1000:.1f} KB"
