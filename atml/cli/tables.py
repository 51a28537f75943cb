"""Results as tables."""

from typing import TYPE_CHECKING, Any

from atml.cli.console import kilobytes, out
from atml.words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optuna.trial import FrozenTrial

    from atml.evaluation import DisturbedMetrics, Metrics, Robustness
    from atml.export.c import CCheck
    from atml.reports.audit import LabelAudit
    from atml.reports.finalize import Final
    from atml.reports.segments_page import Contents
    from atml.reports.ship import Model
    from atml.reports.verify import Check
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


def new_table(title: str, left: tuple[str, ...], *headings: str) -> Any:
    """Return an empty table; columns are right-aligned except those named in `left`."""
    from rich.markup import escape
    from rich.table import Table

    # At least as wide as its title, which rich would break otherwise. A path may hold brackets.
    table = Table(title=escape(title), title_justify="left", title_style="bold", min_width=len(title) + 4)
    for name in headings:
        table.add_column(name, justify="left" if name in left else "right")
    return table


def print_contents(found: "Contents") -> None:
    """Print what a segment directory holds, by rhythm."""
    title = (
        f"{found.path}: {counted(found.segments, 'segment')} of {counted(found.subjects, 'subject')}, "
        f"{counted(found.samples, 'sample')}"
    )
    table = new_table(title, ("rhythm", "class"), "rhythm", "class", "segments", "subjects")
    for one in found.rhythms:
        class_ = "AFIB" if one.afib else "Normal"
        table.add_row(one.rhythm or "(none)", class_, f"{one.segments:,}", f"{one.subjects:,}")
    console = out()
    console.print(table)
    if found.problems:
        console.print(
            f"  {counted(found.problems, 'file')} cannot be used; see `atml data check`", markup=False
        )


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
            f"  ended early by {saving.by}: {counted(saving.trials, 'trial')}, "
            f"about {saving.minutes:.1f} min saved"
        )
    if outcome.stop:
        console.print(f"  ended because {outcome.stop.because}", markup=False)
    console.print(_targets(outcome), markup=False)
    if outcome.all_afib_fbeta is not None:
        console.print(f"  for comparison: calling every segment AFIB has F-beta {outcome.all_afib_fbeta:.4f}")


def _trial_columns(outcome: "Outcome") -> tuple[str, ...]:
    from atml.tuning.sizes import SIZE_NAMES

    size = SIZE_NAMES[outcome.phase.targets.size_of]
    return ("trial", "architecture", "learning rate", "F-beta", "± s.e.", size, "parameters", "RAM")


def _ranking_table(outcome: "Outcome") -> Any:
    from atml.tuning import records

    title = f"{outcome.study}: best trial of each architecture"
    table = new_table(title, ("architecture",), *_trial_columns(outcome), "worst")
    for trial in outcome.best_of_each:
        worst = f"{records.metric(trial, 'worst') or 0:.4f}"
        table.add_row(*_trial_cells(trial), worst, style="bold" if trial is outcome.best else None)
    return table


def _trial_cells(trial: "FrozenTrial") -> list[str]:
    from atml.tuning import records

    ram = records.footprint(trial).ram_bytes
    return [
        str(trial.number),
        records.architecture(trial),
        f"{records.learning_rate(trial):.3g}",
        f"{records.fbeta(trial):.4f}",
        _standard_error(trial),
        kilobytes(records.onnx_bytes(trial)),
        f"{records.parameters(trial):,}",
        "–" if ram is None else kilobytes(ram),
    ]


def _standard_error(trial: "FrozenTrial") -> str:
    from atml.tuning import records

    known = records.estimate(trial)
    return "" if known is None or known.standard_error is None else f"{known.standard_error:.4f}"


def _front_table(outcome: "Outcome") -> Any:
    title = f"{outcome.study}: front of F-beta and size"
    table = new_table(title, ("architecture", "targets"), *_trial_columns(outcome), "targets")
    for trial in outcome.front[:MOST_ROWS]:
        failed = outcome.phase.failed_targets(trial)
        verdict = f"misses {', '.join(failed)}" if failed else "met"
        is_best = outcome.best is not None and trial.number == outcome.best.number
        table.add_row(*_trial_cells(trial), verdict, style="bold" if is_best else None)
    return table


def _size_table(outcome: "Outcome") -> Any:
    """Show the best model of each size, and the gain in the second half of the search."""
    from atml.tuning import records
    from atml.tuning.sizes import SIZE_NAMES

    table = new_table(
        f"{outcome.study}: best within each size",
        ("architecture",),
        "at most",
        "F-beta",
        "± s.e.",
        SIZE_NAMES[outcome.phase.targets.size_of],
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
            "–" if one.gained is None else f"{one.gained:+.4f}",
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
    from atml.tuning.stop import StoppedBy

    targets = outcome.phase.targets
    wanted = targets.in_words()
    if not wanted:
        return "  no targets are set"
    best = outcome.best
    if outcome.targets_met and best:
        return (
            f"  targets met ({wanted}): trial {best.number} with {records.fbeta(best):.4f} and "
            f"{kilobytes(records.onnx_bytes(best))}{_to_spare(best, targets)}"
        )
    over = outcome.stop is not None and outcome.stop.by is not StoppedBy.USER
    lines = [f"  targets {'missed' if over else 'not met yet'} ({wanted})"]
    if best:
        lines[0] += (
            f": {', '.join(outcome.failed_targets)}; nearest is trial {best.number} with "
            f"{records.fbeta(best):.4f} and {kilobytes(records.onnx_bytes(best))}"
        )
    return "\n".join([*lines, *(f"  to relax: {line}" for line in outcome.advice if over)])


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
    from atml.evaluation import fbeta_of_all_afib

    console = out()
    title = f"{title}: {counted(metrics.segments, 'segment')} of {counted(metrics.subjects, 'subject')}"
    pooled = new_table(title, ("metric",), "metric", "value", "95 % interval")
    for name in SHOWN:
        low, high = metrics.intervals.get(name, (None, None))
        interval = f"{low:.4f} – {high:.4f}" if low is not None and high is not None else ""
        pooled.add_row(_label(name, metrics.beta), _figure(getattr(metrics, name)), interval)
        if name == "fbeta":
            share = sum(one.afib_segments for one in metrics.per_subject) / metrics.segments
            all_afib = f"{fbeta_of_all_afib(share, metrics.beta):.4f}"
            pooled.add_row(f"  of calling all AFIB, F{metrics.beta:g}", all_afib, "")
    rhythms = new_table("by rhythm", ("rhythm",), "rhythm", "segments", "called AFIB", "accuracy")
    for rhythm in metrics.per_rhythm:
        shares = (f"{rhythm.called_afib:.1%}", f"{rhythm.accuracy:.1%}")
        rhythms.add_row(rhythm.rhythm or "(none)", f"{rhythm.segments:,}", *shares)
    subjects = new_table(
        "by subject", ("subject",), "subject", "segments", "AFIB", "F-beta", "recall", "specificity"
    )
    for one in metrics.per_subject:
        counts = (f"{one.segments:,}", f"{one.afib_segments:,}")
        # By the contest's rule both are 1 for a subject without AFIB, whatever it is called.
        found = (one.fbeta, one.recall) if one.afib_segments else (None, None)
        subjects.add_row(one.subject, *counts, *map(_figure, (*found, one.specificity)))
    for table in (pooled, rhythms, *_episode_tables(metrics), subjects):
        console.print(table)
    console.print(f"decision threshold {metrics.threshold:.4f}")


def _episode_tables(metrics: "Metrics") -> list[Any]:
    if metrics.episodes is None:
        return []
    pooled = metrics.episodes.pooled
    table = new_table("by episode", ("",), "", "annotated", "called", "sensitivity", "positive predictivity")
    counts = (pooled.annotated_episodes, pooled.called_episodes)
    rates = (pooled.sensitivity, pooled.positive_predictivity)
    table.add_row("episodes", *(f"{count:,}" for count in counts), *map(_figure, rates))
    minutes = (pooled.annotated_seconds / 60, pooled.called_seconds / 60)
    rates = (pooled.duration_sensitivity, pooled.duration_positive_predictivity)
    table.add_row("duration", *(f"{one:,.1f} min" for one in minutes), *map(_figure, rates))
    return [table]


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


def print_robustness(robustness: "Robustness") -> None:
    """Print how a model does under each disturbance, and what it answers to extreme segments."""
    console = out()
    fbeta = _label("fbeta", robustness.beta)
    table = new_table(
        f"robustness: {counted(robustness.segments, 'segment')} of {counted(robustness.subjects, 'subject')}",
        ("disturbance",),
        "disturbance",
        "ROC-AUC",
        "loss",
        "F1",
        fbeta,
        "specificity",
    )
    table.add_row(*_robustness_cells(robustness.undisturbed), end_section=True)
    worst = robustness.worst
    for one in robustness.disturbed:
        table.add_row(*_robustness_cells(one), style="bold" if one is worst else None)
    console.print(table)
    if worst is not None:
        console.print(f"  the largest loss of ROC-AUC is {worst.roc_auc_loss:.4f}, by {worst.disturbance}")
    console.print(f"  the smallest {fbeta} is {robustness.robust_fbeta:.4f}, without the severe disturbances")
    console.print(_extremes(robustness))


def _robustness_cells(one: "DisturbedMetrics") -> list[str]:
    name = f"{one.disturbance} (severe)" if one.severe else one.disturbance
    return [name, *map(_figure, (one.roc_auc, one.roc_auc_loss, one.f1, one.fbeta, one.specificity))]


def _extremes(robustness: "Robustness") -> str:
    called = "AFIB" if robustness.flat_line_is_afib else "not AFIB"
    score = _figure(robustness.extremes["flat_line"])
    undefined = [name for name, answer in robustness.extremes.items() if answer is None]
    finite = f"not finite for {', '.join(undefined)}" if undefined else "all finite"
    return f"  a flat line is called {called} ({score}); answers to extreme segments are {finite}"


def print_final(final: "Final") -> None:
    """Print how finalize chose, the results of the models and the location of their bundles."""
    console = out()
    console.print(_candidates_table(final))
    if final.recommended.test is not None:
        print_metrics(final.recommended.test, title="held-out test subjects, recommended model")
        looks = counted(final.test_looks, "time")
        console.print(f"this study's models have been evaluated on test segments {looks}")
    print_robustness(final.recommended.robustness)
    console.print(_models_table(final))
    if not final.is_robust:
        console.print("  no candidate reaches targets.robust_fbeta, so all were considered")
    for model in final.models:
        is_recommended = model is final.recommended
        remark = " (recommended)" if is_recommended and len(final.models) > 1 else ""
        style = "bold" if is_recommended else None
        console.print(f"Bundle: {model.bundle}{remark}", style=style, markup=False, soft_wrap=True)


def _candidates_table(final: "Final") -> Any:
    table = new_table(
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
    chosen = {model.trial for model in final.models}
    for one in sorted(final.candidates, key=lambda one: one.onnx_bytes):
        table.add_row(
            str(one.trial),
            one.proposal.architecture.name,
            kilobytes(one.onnx_bytes),
            f"{one.search_fbeta:.4f}",
            f"{one.fbeta:.4f}",
            f"{one.contender.estimate.standard_error or 0:.4f}",
            f"{one.out_of_fold.fbeta:.4f}",
            f"{one.threshold:.4f}",
            style="bold" if one.trial in chosen else None,
        )
    return table


def _models_table(final: "Final") -> Any:
    """Show what each size buys."""
    table = new_table(
        "models",
        ("best within", "architecture"),
        "best within",
        "ONNX",
        "INT8",
        "architecture",
        "trial",
        "F-beta on all folds",
        "disturbed",
        *(["test F1", "test F-beta", "test ROC-AUC"] if final.recommended.test else []),
        "parity",
    )
    for model in final.models:
        test = model.test
        table.add_row(
            _sizes(model.choice.sizes),
            f"{model.onnx_bytes:,} B",
            _int8_size(model),
            model.architecture,
            str(model.trial),
            f"{model.choice.candidate.fbeta:.4f}",
            f"{model.robustness.robust_fbeta:.4f}",
            *([_figure(test.f1), _figure(test.fbeta), _figure(test.roc_auc)] if test else []),
            f"{model.parity:.1e}",
            style="bold" if model is final.recommended else None,
        )
    return table


def _int8_size(model: "Model") -> str:
    return f"{model.int8.onnx_bytes:,} B" if model.int8 and model.int8.is_close else "–"


def _sizes(sizes: tuple[int, ...]) -> str:
    return f"{', '.join(f'{size / 1000:g}' for size in sizes)} KB" if sizes else "the targets"


def print_checks(checks: "Sequence[Check]", *, title: str) -> None:
    """Print the result of every check of a bundle."""
    table = new_table(title, ("check", "result", "detail"), "check", "result", "detail")
    for check in checks:
        style = {"failed": "bold red", "skipped": "dim"}.get(check.result)
        table.add_row(check.name, check.result, check.detail, style=style)
    out().print(table)


def print_audit(audit: "LabelAudit") -> None:
    """Print the subjects with suspicious labels, the total, the networks, and where the list is."""
    console = out()
    title = f"{audit.directory}: suspicious labels by subject"
    table = new_table(title, ("subject",), "subject", "segments", "labelled AFIB", "labelled Normal", "share")
    doubtful = [one for one in audit.subjects if one.suspicious]
    afib, normal = (sum(one.label == label for one in audit.suspicious) for label in ("AFIB", "Normal"))
    rows = [(one.subject, one.segments, one.suspicious_afib, one.suspicious_normal) for one in doubtful]
    for subject, segments, *counts in [*rows, ("total", audit.segments, afib, normal)]:
        share = f"{sum(counts) / segments:.1%}"
        table.add_row(subject, f"{segments:,}", *(f"{count:,}" for count in counts), share)
    console.print(table)
    sound = len(audit.subjects) - len(doubtful)
    console.print(f"  without a suspicious label: {counted(sound, 'subject')}")
    networks = (f"{one.architecture} (ROC-AUC {one.roc_auc:.3f})" for one in audit.networks)
    console.print(f"  contradicted with confidence {audit.confidence:g} by {', '.join(networks)}")
    for path in (audit.csv, *audit.pages):
        console.print(str(path), style="bold", markup=False, soft_wrap=True)


def print_c_check(checked: "CCheck") -> None:
    """Print the sizes of generated C code, and how much its logits differ from ONNX Runtime's."""
    target = checked.target
    table = new_table("C code on an emulated Cortex-M4F, -Os", ("",), "", "")
    rows = {
        "ONNX bytes": f"{checked.onnx_bytes:,}",
        "flash bytes: code and constants": f"{target.flash_bytes:,}" if target else "–",
        "RAM bytes: memory and stack": f"{target.ram_bytes:,}" if target else "–",
        "  of which memory, including the segment": f"{checked.memory_bytes:,}",
        "instructions for one segment": f"{target.instructions:,}" if target else "–",
        "largest difference of logits": _difference(target.difference if target else None),
        "  on this machine": _difference(checked.host_difference),
    }
    for name, value in rows.items():
        table.add_row(name, value)
    out().print(table)


def _difference(value: float | None) -> str:
    return "–" if value is None else f"{value:.1e}"
