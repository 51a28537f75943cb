"""The picture of a trial for the dashboard: learning curve, confusion matrix and subjects.

Every completed trial has one, so it is drawn with Pillow, which takes about a tenth of matplotlib's time.
"""

import io
import math
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from atml.evaluation import Metrics
from atml.evaluation.metrics import SubjectMetrics
from atml.tuning.records import CurvePoint
from atml.words import counted

WIDTH, MARGIN, ROW = 720, 24, 24
CURVE, CONFUSION = 440, 400  # pixels of height
MOST_SUBJECTS = 40
COLOURS = 32
# The palette of Okabe and Ito, suitable for colour-blind readers.
BLUE, ORANGE, GREEN = (0, 114, 178), (213, 94, 0), (0, 158, 115)
WHITE, BLACK, GREY, PALE = (255, 255, 255), (32, 32, 32), (120, 120, 120), (226, 226, 226)

Colour = tuple[int, int, int]
Series = tuple[Colour, Sequence[float]]


def picture(curve: Sequence[CurvePoint], metrics: Metrics) -> bytes:
    """Return the picture of a trial as a PNG file."""
    ranked = metrics.worst_first
    shown = ranked[:MOST_SUBJECTS]
    image = Image.new("RGB", (WIDTH, CURVE + CONFUSION + 76 + ROW * (len(shown) + 1)), WHITE)
    draw = ImageDraw.Draw(image)
    draw.font = ImageFont.load_default(18)  # ASCII only
    folds = [[point for point in curve if point.fold == fold] for fold in sorted({p.fold for p in curve})]
    upper: list[Series] = [(GREEN, [point.fbeta for point in fold]) for fold in folds]
    lower: list[Series] = [(BLUE, [point.train_loss for point in fold]) for fold in folds]
    lower += [(ORANGE, [point.valid_loss for point in fold]) for fold in folds]
    _plot(draw, 48, f"validation F-beta over {counted(len(folds), 'fold')}", upper)
    _plot(draw, CURVE // 2 + 48, "loss: train (blue), validation (orange)", lower)
    _confusion(draw, CURVE, metrics)
    some = f"the worst {len(shown)} of {len(ranked)}" if len(shown) < len(ranked) else f"{len(ranked)}"
    _subjects(draw, CURVE + CONFUSION, f"{some} validation subjects, the worst first", shown)
    content = io.BytesIO()
    # A palette makes the file a quarter as large; faster compression offsets its cost.
    image.quantize(COLOURS, method=Image.Quantize.FASTOCTREE).save(content, "PNG")
    return content.getvalue()


def _plot(draw: ImageDraw.ImageDraw, top: int, title: str, series: list[Series]) -> None:
    """Draw values over the epochs of each fold."""
    left, right, bottom = 90, WIDTH - MARGIN, top + 144
    finite = [value for _, values in series for value in values if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    epochs = max((len(values) for _, values in series), default=0)

    def y_of(value: float) -> float:
        return bottom - (bottom - top) * (value - low) / (high - low)

    draw.text((left, top - 28), title, fill=BLACK)
    draw.rectangle((left, top, right, bottom), outline=PALE)
    for value in (low, (low + high) / 2, high):
        draw.line((left, y_of(value), right, y_of(value)), fill=PALE)
        draw.text((left - 8, y_of(value)), f"{value:.3f}", fill=GREY, anchor="rm")
    for colour, values in series:
        step = (right - left - 24) / max(1, epochs - 1)
        points = [(left + 12 + step * at, y_of(v)) for at, v in enumerate(values) if math.isfinite(v)]
        draw.line(points, fill=colour, width=3, joint="curve")
        for x, y in points if len(points) <= 20 else ():
            draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=colour)


def _confusion(draw: ImageDraw.ImageDraw, top: int, metrics: Metrics) -> None:
    """Draw the confusion matrix at the trial's decision threshold."""
    afib = sum(subject.afib_segments for subject in metrics.per_subject)
    other = metrics.segments - afib
    hits = round(metrics.recall * afib)
    alarms = other - round((metrics.specificity or 0.0) * other)
    title = f"{metrics.segments} validation segments, called AFIB from {metrics.threshold:.2f}"
    draw.text((MARGIN, top), title, fill=BLACK)
    left, width, height = 150, 260, 130
    for column, called in enumerate(("called AFIB", "called other")):
        draw.text((left + (2 * column + 1) * width // 2, top + 44), called, fill=BLACK, anchor="mm")
    for row, (name, cells) in enumerate((("AFIB", (hits, afib - hits)), ("other", (alarms, other - alarms)))):
        y = top + 60 + row * height
        draw.text((left - 12, y + height // 2), name, fill=BLACK, anchor="rm")
        for column, count in enumerate(cells):
            x = left + column * width
            share = count / sum(cells) if sum(cells) else 0.0
            colour = GREEN if row == column else ORANGE
            red, green, blue = (round(255 - (255 - channel) * share) for channel in colour)
            draw.rectangle((x, y, x + width, y + height), fill=(red, green, blue), outline=WHITE, width=3)
            ink = WHITE if share > 0.6 else BLACK
            draw.text((x + width // 2, y + 50), f"{count}", fill=ink, anchor="mm", font_size=34)
            draw.text((x + width // 2, y + 88), f"{share:.1%}", fill=ink, anchor="mm")
    specificity = "none" if metrics.specificity is None else f"{metrics.specificity:.3f}"
    figures = f"F1 {metrics.f1:.3f}   precision {metrics.precision:.3f}   recall {metrics.recall:.3f}"
    draw.text((MARGIN, top + 340), f"{figures}   specificity {specificity}", fill=BLACK)


def _subjects(draw: ImageDraw.ImageDraw, top: int, title: str, subjects: Sequence[SubjectMetrics]) -> None:
    """Draw recall and specificity of each subject."""
    draw.text((MARGIN, top), title, fill=BLACK)
    columns = (("AFIB found (recall)", 150, BLUE), ("other left alone (specificity)", 440, ORANGE))
    for name, left, colour in columns:
        draw.text((left, top + 32), name, fill=colour)
    for place, subject in enumerate(subjects):
        y = top + 64 + place * ROW
        draw.text((140, y + 9), f"S{subject.subject.removeprefix('S')}", fill=BLACK, anchor="rm")
        found = subject.recall if subject.afib_segments else None
        for (_, left, colour), share in zip(columns, (found, subject.specificity), strict=True):
            draw.rectangle((left, y + 2, left + 190, y + 16), fill=PALE)
            if share is not None:
                draw.rectangle((left, y + 2, left + round(190 * share), y + 16), fill=colour)
            text = "none" if share is None else f"{share:.0%}"
            draw.text((left + 198, y + 9), text, fill=GREY, anchor="lm")
