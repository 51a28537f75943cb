"""How a report writes numbers and names."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from atml.evaluation import DisturbedMetrics, EpisodeMetrics, Metrics, Robustness, predictive_values
from atml.evaluation.metrics import SubjectMetrics
from atml.tuning.sizes import SIZE_NAMES, SizeOf
from atml.words import counted

WORST_SHOWN = 12
NONE = "–"
SIZES = {"onnx": "ONNX file", "int8": "INT8 file", "flash": "flash"}


def f3(value: float | None) -> str:
    """Format a figure with three decimals."""
    return _decimals(value, 3)


def f4(value: float | None) -> str:
    """Format a figure with four decimals."""
    return _decimals(value, 4)


def _decimals(value: float | None, count: int) -> str:
    # Adding 0 turns -0.0 into 0.0.
    return NONE if value is None or not math.isfinite(value) else f"{round(value, count) + 0.0:.{count}f}"


def percent(value: float | None) -> str:
    """Format a share in per cent."""
    return NONE if value is None else f"{value:.1%}"


def interval(ends: tuple[float, float] | None) -> str:
    """Format an interval."""
    return NONE if ends is None else f"{ends[0]:.3f} to {ends[1]:.3f}"


def kb(count: int) -> str:
    """Format a size; 1 KB = 1,000 bytes."""
    return f"{count / 1000:g} KB"


def unit(size_of: SizeOf) -> str:
    """Name the bytes that `targets.size_of` counts."""
    return "bytes" if size_of == "onnx" else f"{SIZE_NAMES[size_of]} bytes"


def sizes(limits: Sequence[int]) -> str:
    """Name the sizes within which a model is the best."""
    return ", ".join(kb(one) for one in limits) if limits else "the targets"


def duration(seconds: float) -> str:
    """Format a time in minutes or hours."""
    return f"{seconds / 3600:.1f} h" if seconds >= 7200 else f"{seconds / 60:.1f} min"


def items_text(values: Mapping[str, Any]) -> str:
    """List names with their values."""
    return ", ".join(f"{name} {value}" for name, value in values.items())


def metric_names(metrics: Metrics) -> list[tuple[str, str]]:
    """Return the fields of the metrics with the words for them."""
    beta = f"F{metrics.beta:g}"
    without = metrics.subjects_without_afib
    count = "counts" if without == 1 else "count"
    exempt = f" (without AFIB, {without} of {metrics.subjects} {count} as 1)" if without else ""
    return [
        ("fbeta", beta),
        ("f1", "F1"),
        ("recall", "sensitivity (recall)"),
        ("specificity", "specificity"),
        ("precision", "precision"),
        ("accuracy", "accuracy"),
        ("roc_auc", "ROC-AUC"),
        ("subject_mean_fbeta", f"mean {beta} of subjects{exempt}"),
        ("g", f"subjects with {beta} above 0.9{exempt}"),
    ]


def headline(metrics: Metrics) -> tuple[str, str]:
    """Return the first of `metric_names` that the data define: F-beta, without AFIB specificity."""
    return next(one for one in metric_names(metrics) if metrics.defined(one[0]) is not None)


def episode_rows(episodes: EpisodeMetrics) -> list[tuple[str, float | None, float | None]]:
    """Return (what is counted, its sensitivity, its positive predictivity) of all recordings together."""
    pooled = episodes.pooled
    return [
        ("episodes", pooled.sensitivity, pooled.positive_predictivity),
        ("duration", pooled.duration_sensitivity, pooled.duration_positive_predictivity),
    ]


def worst(metrics: Metrics) -> list[tuple[list[SubjectMetrics], bool]]:
    """Return the worst subjects and, if there are many, the others; with whether they are the others."""
    ranked = metrics.worst_first
    if len(ranked) <= 1.5 * WORST_SHOWN:
        return [(ranked, False)]
    return [(ranked[:WORST_SHOWN], False), (ranked[WORST_SHOWN:], True)]


def most_harmful(robustness: Robustness) -> list[DisturbedMetrics]:
    """Return the disturbances, the one with the largest loss of ROC-AUC first."""
    return sorted(robustness.disturbed, key=lambda one: -(one.roc_auc_loss or 0.0))


def disturbance(name: str) -> str:
    """Write the name of a disturbance for people, "white noise 6 dB"."""
    return re.sub(r"(?<=\d)db\b", " dB", name.replace("_", " ").replace(" percent", " %"))


FILTERS = {
    one.__name__: one
    for one in (f3, f4, percent, interval, kb, sizes, duration, items_text, disturbance, counted)
}
FUNCTIONS = {
    one.__name__: one
    for one in (metric_names, headline, episode_rows, worst, most_harmful, predictive_values)
}
