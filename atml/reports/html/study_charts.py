"""The pictures of a study: its front and its learning curves."""

from collections.abc import Sequence
from itertools import pairwise

from markupsafe import Markup

from atml.reports.html.contents import Reference, StudyPart, TrialRow
from atml.reports.html.svg import Chart, Scale
from atml.reports.html.words import SIZES
from atml.words import counted

MOST_CURVES = 8
BELOW_FRONT = 0.03  # of F-beta
MOST_TICKS = 10
SIZE_TICKS = (500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 512_000)


def front_chart(study: StudyPart, references: Sequence[Reference] = ()) -> Markup | None:
    """Draw F-beta over size, with known models beside it; None without a trial."""
    shown = (*study.front, *study.others)
    if not shown:
        return None
    targets, classes = study.result.phase.targets, sorted(study.result.phase.search.sizes)
    sizes = [*(row.onnx_bytes for row in shown), *(one.onnx_bytes for one in references)]
    x = Scale(low=min(sizes) / 1.15, high=max(sizes) * 1.3, log=True)
    best = max(row.fbeta for row in shown)
    lowest = min((row.fbeta - (row.standard_error or 0) for row in study.front), default=best)
    highest = max((row.fbeta + (row.standard_error or 0) for row in study.front), default=best)
    # Networks that learned little would squeeze the others together.
    floor = max(min(row.fbeta for row in shown), lowest - BELOW_FRONT)
    ends = [best, floor, lowest, highest, *(one.fbeta for one in references)]
    wanted = targets.fbeta
    y = Scale.around([*ends, *([wanted] if wanted and wanted <= best + 0.05 else [])])
    chart = Chart(x=x, y=y, label=_front_label(study), width=520, height=340)
    target = min(targets.onnx_bytes or x.high, x.high)
    if wanted and y.low < wanted < y.high and target > x.low:
        chart.box((x.low, target), (wanted, y.high), "target")
    marked = classes if len(classes) <= MOST_TICKS else SIZE_TICKS
    ticks = [(size, f"{size / 1000:g}") for size in marked if x.low <= size <= x.high]
    name = f"{SIZES[targets.size_of]} (KB, 1 KB = 1,000 bytes)"
    chart.axes(name, f"F{study.beta:g}", x_ticks=ticks)
    for size in classes:
        if x.low < size < x.high:
            chart.line([(size, y.low), (size, y.high)], "size-class")
    for row in study.others:
        if row.fbeta >= y.low:
            css = "finished" if row.is_finished else "unfinished"
            chart.dot(
                row.onnx_bytes, row.fbeta, 3.5 if row.is_finished else 2.5, css, title=in_words(row, study)
            )
    steps = [(row.onnx_bytes, row.fbeta) for row in study.front]
    corners = [p for one, two in pairwise(steps) for p in (one, (two[0], one[1]))] + steps[-1:]
    chart.line([*corners, (x.high, steps[-1][1])] if steps else [], "front-line")
    for place, row in enumerate(study.front):
        _front_point(chart, row, study, place)
    for one in references:
        words = f"{one.name}: {one.onnx_bytes:,} bytes, F{study.beta:g} {one.fbeta:.4f}"
        chart.diamond(one.onnx_bytes, one.fbeta, "reference", title=words)
        chart.text(one.onnx_bytes, one.fbeta, one.name, "name reference-name", shift=(0, 18))
    return chart.render()


def _front_point(chart: Chart, row: TrialRow, study: StudyPart, place: int) -> None:
    if row.standard_error:
        low, high = row.fbeta - row.standard_error, row.fbeta + row.standard_error
        chart.error_bar(row.onnx_bytes, max(low, chart.y.low), high, "error")
    words, link = in_words(row, study), f"trial-{row.number}"
    chart.dot(row.onnx_bytes, row.fbeta, 5.5, "front", title=words, link=link)
    chart.text(row.onnx_bytes, row.fbeta, str(row.number), "name", shift=(7, 16 if place % 2 else -8))


def _front_label(study: StudyPart) -> str:
    listed = "; ".join(f"{row.onnx_bytes:,} {study.unit} {row.fbeta:.3f}" for row in study.front)
    return f"F{study.beta:g} over {study.unit}. On the front: {listed or 'nothing yet'}."


def in_words(row: TrialRow, study: StudyPart) -> str:
    """Describe a trial in one line."""
    error = f" ± {row.standard_error:.4f}" if row.standard_error is not None else ""
    folds = "all folds" if row.is_finished else counted(row.folds, "fold")
    return (
        f"{_name(row, study)}, learning rate {row.learning_rate:.3g}, F{study.beta:g} {row.fbeta:.4f}{error} "
        f"on {folds}"
    )


def _name(row: TrialRow, study: StudyPart) -> str:
    return f"trial {row.number}: {row.architecture}, {row.onnx_bytes:,} {study.unit}"


def first_fold_chart(study: StudyPart) -> Markup | None:
    """Draw F-beta over the epochs of the first fold, of all trials that trained it; None without one."""
    began = [(row, [point.fbeta for point in row.curve if point.fold == 0]) for row in study.trials]
    curves = [(row, curve) for row, curve in began if curve]
    if not curves:
        return None
    epochs = max(len(curve) for _, curve in curves)
    values = [value for _, curve in curves for value in curve]
    best = max(values)
    y = Scale.around([best, max(min(values), best - 0.12)])
    chart = Chart(
        x=Scale(low=1, high=max(2, epochs)),
        y=y,
        label=f"F{study.beta:g} over the epochs of the first fold, for {len(curves)} trials",
    )
    chart.axes("epoch", f"F{study.beta:g} on the first fold", x_ticks=_epochs(epochs))
    for row, curve in sorted(curves, key=lambda one: one[0].is_on_front):
        points = [(i, max(value, y.low)) for i, value in enumerate(curve, start=1)]
        css = "series a" if row.is_on_front else "series faint"
        chart.line(points, css, title=_name(row, study))
    return chart.render()


def loss_charts(study: StudyPart) -> list[tuple[str, Markup]]:
    """Draw the losses of the trials on the front, one chart each with a line for each fold of its own."""
    shown = [row for row in study.trials if row.is_on_front and row.curve][-MOST_CURVES:]
    return [(_name(row, study), _loss_chart(row)) for row in shown]


def _loss_chart(row: TrialRow) -> Markup:
    folds = [[one for one in row.curve if one.fold == fold] for fold in sorted({p.fold for p in row.curve})]
    values = [loss for point in row.curve for loss in (point.train_loss, point.valid_loss)]
    epochs = max(len(fold) for fold in folds)
    # The first epochs' validation loss may be many times as large as all that follows.
    ceiling = 1.5 * max(point.train_loss for point in row.curve)
    y = Scale.around([min(values), min(max(values), ceiling)])
    chart = Chart(
        x=Scale(low=1, high=max(2, epochs)),
        y=y,
        label=f"loss of trial {row.number} in training and on held-out subjects, by epoch",
        width=300,
        height=200,
    )
    chart.axes("epoch", "loss", x_ticks=_epochs(epochs), y_ticks=y.ticks(5))
    for css, name in (("series a", "train_loss"), ("series b", "valid_loss")):
        for fold in folds:
            losses = enumerate((getattr(point, name) for point in fold), start=1)
            chart.line([(epoch, min(loss, y.high)) for epoch, loss in losses], css)
    return chart.render()


def _epochs(count: int) -> list[tuple[float, str]]:
    step = max(1, -(-count // 8))
    return [(epoch, str(epoch)) for epoch in range(1, count + 1, step)]
