"""The study's note in the dashboard: whether its targets are met, and its front or ranking."""

import time
from collections.abc import Callable, Sequence

from optuna import Study
from optuna.trial import FrozenTrial

from atml.tuning import records
from atml.tuning.outcome import Outcome, answer, outcome, verdict
from atml.tuning.sizes import SIZE_NAMES
from atml.tuning.snapshot import Snapshot
from atml.words import kilobytes

LEAST_SECONDS_BETWEEN = 10.0
# With this many rows the note fits into one attribute of 2,045 characters, which is written atomically.
MOST_ROWS = 10
LINE = "*What stands above is kept up to date by ATML; what you write below stays.*"


class NoteKeeper:
    """Keeps a study's note up to date.

    Only the worker whose trial appears in the note writes while the study runs, so a thousand workers do
    not write more than one.
    """

    def __init__(self, study: Study, snapshot: Callable[[], Snapshot]) -> None:
        self._study = study
        self._snapshot = snapshot
        self._unseen: set[int] = set()
        self._not_before = 0.0

    def update(self, trial: int) -> None:
        """Update the note if `trial` or another that this worker completed is the best or in its table."""
        self._unseen.add(trial)
        if time.monotonic() < self._not_before:
            return
        self._not_before = time.monotonic() + LEAST_SECONDS_BETWEEN
        result = outcome(self._snapshot())
        if self._unseen & {one.number for one in (*result.ranking[:1], *_listed(result))}:
            _write(self._study, result)
        self._unseen.clear()

    def finish(self) -> None:
        """Write the note as this worker leaves, whether the study has ended or is interrupted."""
        _write(self._study, outcome(self._snapshot()))


def note(result: Outcome) -> str:
    """Return a study's result so far, in Markdown."""
    # The dashboard's own "best" ignores the targets.
    first, *others = answer(result)
    lines = [f"**{first[0].upper()}{first[1:]}**", "", *(f"- {line}" for line in others), "", *_table(result)]
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


def _write(study: Study, result: Outcome) -> None:
    from optuna_dashboard import get_note, save_note  # takes a second, since it imports scikit-learn

    old = get_note(study)
    new = with_remarks_of(old, note(result))
    if new != old:
        save_note(study, new)


def _listed(result: Outcome) -> Sequence[FrozenTrial]:
    """Return the trials of the table: the front, or the best of each architecture."""
    return result.front if len(result.phase.directions) > 1 else result.best_of_each


def _table(result: Outcome) -> list[str]:
    trials = _listed(result)
    size = SIZE_NAMES[result.phase.targets.size_of]
    lines = [f"| trial | F-beta | {size} | parameters | architecture | learning rate | targets |"]
    lines.append("|--:|--:|--:|--:|:--|--:|:--|")
    for trial in trials[:MOST_ROWS]:
        figures = f"{trial.number} | {records.fbeta(trial):.4f} | {kilobytes(records.onnx_bytes(trial))}"
        candidate = f"{records.parameters(trial):,} | {records.architecture(trial)}"
        rate = f"{records.learning_rate(trial):.3g}"
        lines.append(f"| {figures} | {candidate} | {rate} | {verdict(result.phase, trial)} |")
    left_out = len(trials) - MOST_ROWS
    return [*lines, "", f"and {left_out} more"] if left_out > 0 else lines
