"""Results as tables."""

from typing import TYPE_CHECKING, Any

from atml.cli.console import kilobytes, out

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from atml.evaluation import Metrics
    from atml.reports.audit import LabelAudit
    from atml.reports.finalize import Final
    from atml.tuning.outcome import Outcome
    from atml.tuning.spec import TargetsSpec

SHOWN = (
    "f1",
    "fbeta",
    "accuracy",
    "precision",
    "recall",
    "specificity",
    "roc_auc",
    "subject_mean_fbeta",
    "g",
)
MOST_ROWS = 15


def _table(title: str, left: tuple[str, ...], *headings: str) -> Any:
    """Return an empty table; columns are right-aligned except those named in `left`."""
    from rich.table import Table

    # At least as wide as its title, which rich would break otherwise.
    table = Table(title=title, title_justify="left", title_style="bold", min_width=len(title) + 4)
    for name in headings:
        table.add_column(name, justify="left" if name in left else "right")
    return table


def print_outcome(outcome: "Outcome") -> None:
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
        console.print(_errors(outcome), markup=False)  # an error's text may contain brackets
    for saving in outcome.savings:
        console.print(
            f"  ended early by {saving.by}: {saving.trials} trials, about {saving.minutes:.1f} min saved"
        )
    if outcome.stop:
        console.print(f"  ended because {outcome.stop.because}", markup=False)
    console.print(_targets(outcome), markup=False)


def _ranking_table(outcome: "Outcome") -> Any:
    table = _table(
        f"{outcome.study}: best trial of each architecture",
        ("architecture",),
        "#",
        "architecture",
        "trial",
        "learning rate",
        "F-beta",
        "± s.e.",
        "worst",
        "ONNX",
        "parameters",
    )
    for place, trial in enumerate(outcome.best_of_each, start=1):
        table.add_row(str(place), *_cells(trial), style="bold" if place == 1 else None)
    return table


def _cells(trial: "FrozenTrial") -> list[str]:
    from atml.tuning import records

    return [
        records.architecture(trial),
        str(trial.number),
        f"{records.learning_rate(trial):g}",
        f"{records.fbeta(trial):.4f}",
        _standard_error(trial),
        f"{records.metric(trial, 'worst') or 0:.4f}",
        kilobytes(records.onnx_bytes(trial)),
        f"{records.parameters(trial):,}",
    ]


def _standard_error(trial: "FrozenTrial") -> str:
    from atml.tuning import records

    known = records.estimate(trial)
    return "" if known is None or known.standard_error is None else f"{known.standard_error:.4f}"


def _front_table(outcome: "Outcome") -> Any:
    from atml.tuning import records

    table = _table(
        f"{outcome.study}: front of F-beta and size",
        ("architecture", "targets"),
        "trial",
        "architecture",
        "learning rate",
        "F-beta",
        "± s.e.",
        "ONNX",
        "parameters",
        "targets",
    )
    for trial in outcome.front[:MOST_ROWS]:
        failed = outcome.phase.failed_targets(trial)
        table.add_row(
            str(trial.number),
            records.architecture(trial),
            f"{records.learning_rate(trial):.3g}",
            f"{records.fbeta(trial):.4f}",
            _standard_error(trial),
            kilobytes(records.onnx_bytes(trial)),
            f"{records.parameters(trial):,}",
            f"misses {', '.join(failed)}" if failed else "met",
            style="bold" if outcome.best and trial.number == outcome.best.number else None,
        )
    return table


def _size_table(outcome: "Outcome") -> Any:
    """Show the best model of each size, and the gain in the second half of the search."""
    from atml.tuning import records

    table = _table(
        f"{outcome.study}: best within each size",
        ("architecture",),
        "at most",
        "F-beta",
        "± s.e.",
        "ONNX",
        "architecture",
        "trial",
        "gained in 2nd half",
    )
    for one in outcome.by_size:
        table.add_row(
            kilobytes(one.limit),
            f"{records.fbeta(one.best):.4f}",
            _standard_error(one.best),
            kilobytes(records.onnx_bytes(one.best)),
            records.architecture(one.best),
            str(one.best.number),
            f"{one.gained:+.4f}",
        )
    return table


def _counts(outcome: "Outcome") -> str:
    spent = outcome.spent
    pruned = ", ".join(f"{count} by {by}" for by, count in sorted(outcome.pruned.items())) or "none"
    return (
        f"  {spent.trained} trained in {spent.seconds / 60:.1f} min, {spent.untrained} pruned untrained "
        f"(all pruned: {pruned}), {outcome.failed} interrupted or failed"
    )


def _errors(outcome: "Outcome") -> str:
    from atml.tuning.failures import reason_of

    count, first = len(outcome.errors), outcome.errors[0]
    return f"  ended by an error: {count}, the first was trial {first.number}: {reason_of(first)}"


def _targets(outcome: "Outcome") -> str:
    from atml.tuning import records

    targets = outcome.phase.targets
    if targets.fbeta is None and targets.onnx_bytes is None:
        return "  no targets are set"
    wanted = f"F-beta ≥ {targets.fbeta or 0:g}, ONNX ≤ {kilobytes(targets.onnx_bytes or 0)}"
    best = outcome.best
    if outcome.targets_met and best:
        return (
            f"  targets met ({wanted}): trial {best.number} with {records.fbeta(best):.4f} and "
            f"{kilobytes(records.onnx_bytes(best))}{_to_spare(best, targets)}"
        )
    lines = [f"  targets missed ({wanted})"]
    if best:
        lines[0] += (
            f": {', '.join(outcome.failed_targets)}; nearest is trial {best.number} with "
            f"{records.fbeta(best):.4f} and {kilobytes(records.onnx_bytes(best))}"
        )
    return "\n".join([*lines, *(f"  to relax: {line}" for line in outcome.advice)])


def _to_spare(best: "FrozenTrial", targets: "TargetsSpec") -> str:
    """Return by how much a trial exceeds the targets."""
    from atml.tuning import records

    spare = []
    if targets.fbeta is not None:
        spare.append(f"{records.fbeta(best) - targets.fbeta:.4f}")
    if targets.onnx_bytes is not None:
        spare.append(kilobytes(targets.onnx_bytes - records.onnx_bytes(best)))
    return f"; {' and '.join(spare)} to spare"


def print_metrics(metrics: "Metrics", *, title: str) -> None:
    """Print a model's metrics: pooled with intervals, then by rhythm and by subject."""
    console = out()
    title = f"{title}: {metrics.segments:,} segments of {metrics.subjects} subjects"
    pooled = _table(title, ("metric",), "metric", "value", "95 % interval")
    for name in SHOWN:
        low, high = metrics.intervals.get(name, (None, None))
        interval = f"{low:.4f} – {high:.4f}" if low is not None and high is not None else ""
        pooled.add_row(_label(name, metrics.beta), _figure(getattr(metrics, name)), interval)
    rhythms = _table("by rhythm", ("rhythm",), "rhythm", "segments", "called AFIB", "accuracy")
    for rhythm in metrics.per_rhythm:
        shares = (f"{rhythm.called_afib:.1%}", f"{rhythm.accuracy:.1%}")
        rhythms.add_row(rhythm.rhythm or "(none)", f"{rhythm.segments:,}", *shares)
    subjects = _table(
        "by subject", ("subject",), "subject", "segments", "AFIB", "F-beta", "recall", "specificity"
    )
    for one in metrics.per_subject:
        counts = (f"{one.segments:,}", f"{one.afib_segments:,}")
        subjects.add_row(one.subject, *counts, *map(_figure, (one.fbeta, one.recall, one.specificity)))
    for table in (pooled, rhythms, subjects):
        console.print(table)
    console.print(f"decision threshold {metrics.threshold:.4f}")


def _label(name: str, beta: float) -> str:
    labels = {
        "f1": "F1",
        "fbeta": f"F{beta:g}",
        "roc_auc": "ROC-AUC",
        "subject_mean_fbeta": f"subject-mean F{beta:g}",
        "g": "G",
    }
    return labels.get(name, name)


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def print_final(final: "Final") -> None:
    """Print finalize's candidates, the test metrics and the bundle's location."""
    console = out()
    table = _table(
        "best trials evaluated again on other folds",
        ("architecture",),
        "trial",
        "architecture",
        "ONNX",
        "F-beta in search",
        "on all folds",
        "± s.e.",
        "pooled",
        "threshold",
    )
    for one in final.candidates:
        table.add_row(
            str(one.trial),
            one.proposal.architecture.name,
            kilobytes(one.onnx_bytes),
            f"{one.search_fbeta:.4f}",
            f"{one.fbeta:.4f}",
            f"{one.contender.estimate.standard_error or 0:.4f}",
            f"{one.out_of_fold.fbeta:.4f}",
            f"{one.threshold:.4f}",
            style="bold" if one is final.chosen else None,
        )
    console.print(table)
    if final.test is not None:
        print_metrics(final.test, title="held-out test subjects")
        console.print(f"models of this study have been evaluated on test segments {final.test_looks} time(s)")
    console.print(
        f"ONNX and PyTorch differ by at most {final.parity:.1e}; the file has {final.onnx_bytes:,} bytes"
    )
    console.print(f"Bundle: {final.bundle}", style="bold")


def print_audit(audit: "LabelAudit") -> None:
    """Print the subjects with suspicious labels, the total, the networks, and where the list is."""
    console = out()
    title = f"{audit.directory}: suspicious labels by subject"
    table = _table(title, ("subject",), "subject", "segments", "labelled AFIB", "labelled Normal", "share")
    doubtful = [one for one in audit.subjects if one.suspicious]
    afib, normal = (sum(one.label == label for one in audit.suspicious) for label in ("AFIB", "Normal"))
    rows = [(one.subject, one.segments, one.suspicious_afib, one.suspicious_normal) for one in doubtful]
    for subject, segments, *counts in [*rows, ("total", audit.segments, afib, normal)]:
        share = f"{sum(counts) / segments:.1%}"
        table.add_row(subject, f"{segments:,}", *(f"{count:,}" for count in counts), share)
    console.print(table)
    console.print(f"  {len(audit.subjects) - len(doubtful)} subjects have none")
    networks = (f"{one.architecture} (ROC-AUC {one.roc_auc:.3f})" for one in audit.networks)
    console.print(f"  contradicted with confidence {audit.confidence:g} by {', '.join(networks)}")
    for path in (audit.csv, *audit.pages):
        console.print(str(path), style="bold", markup=False, soft_wrap=True)
