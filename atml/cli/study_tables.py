"""The result of a study as tables."""

from collections.abc import Callable

from optuna.trial import FrozenTrial
from rich.table import Table

from atml.cli.console import out
from atml.cli.tables import table_of
from atml.tuning import records
from atml.tuning.failures import reason_of
from atml.tuning.outcome import Outcome, answer, verdict
from atml.tuning.sizes import SIZE_NAMES
from atml.words import counted, kilobytes


def print_outcome(outcome: Outcome) -> None:
    """Print a study's result: its ranking or front, pruned trials, and targets."""
    console = out()
    if len(outcome.phase.directions) == 1:
        console.print(_ranking_table(outcome))
        if outcome.unfinished:
            console.print(f"  no trial finished the race for {', '.join(outcome.unfinished)}")
    else:
        console.print(_front_table(outcome))
        console.print(_size_table(outcome))
    console.print(_counts(outcome))
    if outcome.errors:
        count, first = len(outcome.errors), outcome.errors[0]
        console.print(f"  ended by an error: {count}, the first was trial {first.number}: {reason_of(first)}")
    for saving in outcome.savings:
        console.print(
            f"  ended early by {saving.by}: {counted(saving.trials, 'trial')}, "
            f"about {saving.minutes:.1f} min saved"
        )
    if outcome.stop:
        console.print(f"  ended because {outcome.stop.because}")
    for line in answer(outcome):
        console.print(f"  {line}")
    console.print(f"  for comparison: calling every segment AFIB has F-beta {outcome.all_afib_fbeta:.4f}")


def _trial_columns(outcome: Outcome) -> dict[str, Callable[[FrozenTrial], str]]:
    return {
        "trial": lambda trial: str(trial.number),
        "architecture": records.architecture,
        "learning rate": lambda trial: f"{records.learning_rate(trial):.3g}",
        "F-beta": lambda trial: f"{records.fbeta(trial):.4f}",
        "± s.e.": _standard_error,
        SIZE_NAMES[outcome.phase.targets.size_of]: lambda trial: kilobytes(records.onnx_bytes(trial)),
        "parameters": lambda trial: f"{records.parameters(trial):,}",
        "RAM": lambda trial: kilobytes(records.footprint(trial).ram_bytes),
    }


def _standard_error(trial: FrozenTrial) -> str:
    known = records.estimate(trial)
    return "" if known is None or known.standard_error is None else f"{known.standard_error:.4f}"


def _ranking_table(outcome: Outcome) -> Table:
    return table_of(
        f"{outcome.study}: best trial of each architecture",
        outcome.best_of_each,
        {
            **_trial_columns(outcome),
            "worst": lambda trial: f"{records.metric(trial, 'worst') or 0:.4f}",
        },
        is_bold=lambda trial: trial is outcome.best,
    )


def _front_table(outcome: Outcome) -> Table:
    return table_of(
        f"{outcome.study}: front of F-beta and size",
        outcome.front,
        {**_trial_columns(outcome), "targets": lambda trial: verdict(outcome.phase, trial)},
        is_bold=lambda trial: outcome.best is not None and trial.number == outcome.best.number,
    )


def _size_table(outcome: Outcome) -> Table:
    """Show the best model of each size, and the gain in the second half of the search."""
    return table_of(
        f"{outcome.study}: best within each size",
        outcome.by_size,
        {
            "at most": lambda one: kilobytes(one.limit),
            "F-beta": lambda one: f"{records.fbeta(one.best):.4f}",
            "± s.e.": lambda one: _standard_error(one.best),
            SIZE_NAMES[outcome.phase.targets.size_of]: lambda one: kilobytes(records.onnx_bytes(one.best)),
            "architecture": lambda one: records.architecture(one.best),
            "trial": lambda one: str(one.best.number),
            "gained in 2nd half": lambda one: "–" if one.gained is None else f"{one.gained:+.4f}",
        },
    )


def _counts(outcome: Outcome) -> str:
    spent = outcome.spent
    pruned = ", ".join(f"{count} by {by}" for by, count in sorted(outcome.pruned.items())) or "none"
    return (
        f"  {spent.trained} trained in {spent.seconds / 60:.1f} min, {spent.untrained} pruned untrained "
        f"(all pruned: {pruned}), {outcome.failed} interrupted or failed"
    )
