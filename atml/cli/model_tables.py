"""Metrics and shipped models as tables."""

from collections.abc import Callable

from rich.table import Table

from atml.cli.console import out
from atml.cli.tables import new_table, table_of
from atml.evaluation import Abstention, Metrics, Robustness, fbeta_of_all_afib
from atml.reports.finalize import Final
from atml.reports.html.words import f4, metric_names, most_harmful, sizes
from atml.reports.ship import Model
from atml.tuning.sizes import SIZE_NAMES
from atml.words import counted, kilobytes


def print_metrics(metrics: Metrics, answered: Abstention | None = None, *, title: str) -> None:
    """Print a model's metrics: pooled with intervals, then by rhythm and by subject.

    If it gives no answer to some segments, the pooled ones of `answered` are beside those of all.
    """
    console = out()
    title = f"{title}: {counted(metrics.segments, 'segment')} of {counted(metrics.subjects, 'subject')}"
    pooled = new_table(title, "metric", "value", "95 % interval", *(["answered alone"] if answered else []))
    for name, label in metric_names(metrics):
        low, high = metrics.intervals.get(name, (None, None))
        interval = f"{low:.4f} – {high:.4f}" if low is not None and high is not None else ""
        alone = [f4(_defined(answered, name))] if answered else []
        pooled.add_row(label, f4(metrics.defined(name)), interval, *alone)
        if name == "fbeta":
            alone = [_all_afib(answered.metrics)] if answered else []
            pooled.add_row(f"  of calling all AFIB, F{metrics.beta:g}", _all_afib(metrics), "", *alone)
    rhythms = new_table("by rhythm", "rhythm", "segments", "called AFIB", "accuracy")
    for rhythm in metrics.per_rhythm:
        shares = (f"{rhythm.called_afib:.1%}", f"{rhythm.accuracy:.1%}")
        rhythms.add_row(rhythm.rhythm or "(none)", f"{rhythm.segments:,}", *shares)
    subjects = new_table("by subject", "subject", "segments", "AFIB", "F-beta", "recall", "specificity")
    for one in metrics.per_subject:
        counts = (f"{one.segments:,}", f"{one.afib_segments:,}")
        # By the contest's rule both are 1 for a subject without AFIB, whatever it is called.
        found = (one.fbeta, one.recall) if one.afib_segments else (None, None)
        subjects.add_row(one.subject, *counts, *map(f4, (*found, one.specificity)))
    for table in (pooled, rhythms, *_episode_tables(metrics), subjects):
        console.print(table)
    console.print(f"decision threshold {metrics.threshold:.4f}")
    if answered is not None:
        console.print(
            f"all segments count, with those that get no answer: {answered.coverage:.1%} get one, "
            f"{answered.subject_coverage:.1%} of the subject with the fewest; least confidence of an answer "
            f"{answered.least_confidence:.4f}"
        )


def _defined(answered: Abstention, name: str) -> float | None:
    return answered.metrics.defined(name) if answered.metrics else None


def _all_afib(metrics: Metrics | None) -> str:
    """Show F-beta of calling all AFIB."""
    if metrics is None or metrics.defined("fbeta") is None:
        return f4(None)
    share = sum(one.afib_segments for one in metrics.per_subject) / metrics.segments
    return f4(fbeta_of_all_afib(share, metrics.beta))


def _episode_tables(metrics: Metrics) -> list[Table]:
    if metrics.episodes is None:
        return []
    pooled = metrics.episodes.pooled
    table = new_table("by episode", "", "annotated", "called", "sensitivity", "positive predictivity")
    counts = (pooled.annotated_episodes, pooled.called_episodes)
    rates = (pooled.sensitivity, pooled.positive_predictivity)
    table.add_row("episodes", *(f"{count:,}" for count in counts), *map(f4, rates))
    minutes = (pooled.annotated_seconds / 60, pooled.called_seconds / 60)
    rates = (pooled.duration_sensitivity, pooled.duration_positive_predictivity)
    table.add_row("duration", *(f"{one:,.1f} min" for one in minutes), *map(f4, rates))
    return [table]


def print_robustness(robustness: Robustness) -> None:
    """Print how a model does under the worst disturbances, and what it answers to extreme segments."""
    console = out()
    count = f"{counted(robustness.segments, 'segment')} of {counted(robustness.subjects, 'subject')}"
    console.print(f"robustness: {count}; report.html shows each disturbance")
    worst = most_harmful(robustness)[0]
    if worst.roc_auc_loss is not None:
        console.print(f"  the largest loss of ROC-AUC is {worst.roc_auc_loss:.4f}, by {worst.disturbance}")
    fbeta = f"F{robustness.beta:g}"
    console.print(f"  the smallest {fbeta} is {robustness.robust_fbeta:.4f}, without the severe disturbances")
    called = "AFIB" if robustness.flat_line_is_afib else "not AFIB"
    score = f4(robustness.extremes["flat_line"])
    undefined = [name for name, answer in robustness.extremes.items() if answer is None]
    finite = f"not finite for {', '.join(undefined)}" if undefined else "all finite"
    console.print(f"  a flat line is called {called} ({score}); answers to extreme segments are {finite}")


def print_final(final: Final) -> None:
    """Print how finalize chose, the results of the models and the location of their bundles."""
    console = out()
    console.print(_candidates_table(final))
    if final.recommended.test is not None:
        title = "held-out test subjects, recommended model"
        print_metrics(final.recommended.test, final.recommended.answered, title=title)
        looks = counted(final.test_looks, "time")
        console.print(f"this study's models have been evaluated on test segments {looks}")
    print_robustness(final.recommended.robustness)
    console.print(_models_table(final))
    if not final.is_robust:
        console.print(
            "  no candidate that can be shipped reaches targets.robust_fbeta, so all were considered"
        )
    if final.failed_targets is not None:
        console.print(_targets(final))
    for model in final.models:
        is_recommended = model is final.recommended
        remark = " (recommended)" if is_recommended and len(final.models) > 1 else ""
        style = "bold" if is_recommended else None
        console.print(f"Bundle: {model.bundle}{remark}", style=style, soft_wrap=True)


def _targets(final: Final) -> str:
    verdict = f"missed: {', '.join(final.failed_targets)};" if final.failed_targets else "met:"
    fbeta = final.recommended.choice.candidate.fbeta
    return f"  targets {verdict} the recommended model has {fbeta:.4f} over all folds"


def _candidates_table(final: Final) -> Table:
    chosen = {model.trial for model in final.models}
    return table_of(
        "best trials evaluated again on other folds",
        sorted(final.candidates, key=lambda one: one.onnx_bytes),
        {
            "trial": lambda one: str(one.trial),
            "architecture": lambda one: one.proposal.architecture.name,
            SIZE_NAMES[final.size_of]: lambda one: kilobytes(one.onnx_bytes),
            "F-beta in search": lambda one: f"{one.search_fbeta:.4f}",
            "on all folds": lambda one: f"{one.fbeta:.4f}",
            "± s.e.": lambda one: f"{one.contender.estimate.standard_error or 0:.4f}",
            "pooled": lambda one: f"{one.out_of_fold.fbeta:.4f}",
            "threshold": lambda one: f"{one.threshold:.4f}",
        },
        is_bold=lambda one: one.trial in chosen,
    )


def _models_table(final: Final) -> Table:
    """Show what each size buys."""
    tested: dict[str, Callable[[Model], str]] = {
        "test F1": lambda model: f4(model.test.defined("f1") if model.test else None),
        "test F-beta": lambda model: f4(model.test.defined("fbeta") if model.test else None),
        "test ROC-AUC": lambda model: f4(model.test.roc_auc if model.test else None),
    }
    return table_of(
        "models",
        final.models,
        {
            "best within": lambda model: sizes(model.choice.sizes),
            "ONNX": lambda model: f"{model.onnx_bytes:,} B",
            "INT8": _int8_size,
            "architecture": lambda model: model.architecture,
            "trial": lambda model: str(model.trial),
            "F-beta on all folds": lambda model: f"{model.choice.candidate.fbeta:.4f}",
            "disturbed": lambda model: f"{model.robustness.robust_fbeta:.4f}",
            **(tested if final.recommended.test else {}),
            "parity": lambda model: f"{model.parity:.1e}",
        },
        is_bold=lambda model: model is final.recommended,
    )


def _int8_size(model: Model) -> str:
    return f"{model.int8.onnx_bytes:,} B" if model.int8 and model.int8.shipped else "–"
