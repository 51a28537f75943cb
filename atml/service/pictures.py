"""Pictures of a trial for the dashboard, as PNG: drawn in milliseconds, since every trial has them.

Pillow's own font knows ASCII only.
"""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageDraw, ImageFont

from atml.evaluation import Metrics
from atml.evaluation.metrics import SubjectMetrics
from atml.search.records import CurvePoint

WIDTH, HEIGHT, MARGIN = 720, 450, 24
TEXT_PIXELS, ROW_PIXELS = 18, 24
MOST_SUBJECTS = 40
COLOURS = 32
# The colours of Okabe and Ito, which people who see few colours can tell apart.
BLUE, ORANGE, GREEN = (0, 114, 178), (213, 94, 0), (0, 158, 115)
WHITE, BLACK, GREY, PALE = (255, 255, 255), (32, 32, 32), (120, 120, 120), (226, 226, 226)

Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def pictures(curve: Sequence[CurvePoint], metrics: Metrics) -> Mapping[str, bytes]:
    """Return every picture of a trial by its file's name."""
    return {
        "learning-curve.png": learning_curve(curve),
        "confusion.png": confusion(metrics),
        "subjects.png": subjects(metrics),
    }


def learning_curve(curve: Sequence[CurvePoint]) -> bytes:
    """Draw F-beta, and below it both losses, over the epochs of each fold."""
    image, draw = _canvas(HEIGHT)
    middle = HEIGHT // 2
    folds = [[point for point in curve if point.fold == fold] for fold in sorted({p.fold for p in curve})]
    upper = _Panel(
        draw=draw,
        top=MARGIN * 2,
        bottom=middle - MARGIN,
        series=tuple((GREEN, [point.fbeta for point in fold]) for fold in folds),
    )
    upper.draw_with(f"validation F-beta over {len(folds)} fold(s)")
    lower = _Panel(
        draw=draw,
        top=middle + MARGIN * 2,
        bottom=HEIGHT - MARGIN * 2,
        series=(
            *((BLUE, [point.train_loss for point in fold]) for fold in folds),
            *((ORANGE, [point.valid_loss for point in fold]) for fold in folds),
        ),
    )
    lower.draw_with("loss: train (blue), validation (orange)")
    return _png(image)


def confusion(metrics: Metrics) -> bytes:
    """Draw how many segments of each class were called what, at the trial's decision threshold."""
    image, draw = _canvas(HEIGHT)
    afib = sum(subject.afib_segments for subject in metrics.per_subject)
    other = metrics.segments - afib
    hits = round(metrics.recall * afib)
    alarms = other - round((metrics.specificity or 0.0) * other)
    _text(
        draw,
        (MARGIN, 12),
        f"{metrics.segments} validation segments, called AFIB from {metrics.threshold:.2f}",
    )
    left, top, width, height = 150, 90, 260, 150
    for column, called in enumerate(("called AFIB", "called other")):
        _text(draw, (left + column * width + width // 2, top - 16), called, anchor="mm")
    rows = (("AFIB", afib, (hits, afib - hits)), ("other", other, (alarms, other - alarms)))
    for row, (name, total, cells) in enumerate(rows):
        _text(draw, (left - 12, top + row * height + height // 2), name, anchor="rm")
        for column, count in enumerate(cells):
            corner = (left + column * width, top + row * height)
            _cell(draw, corner, (width, height), count, total, GREEN if row == column else ORANGE)
    figures = f"F1 {metrics.f1:.3f}   precision {metrics.precision:.3f}   recall {metrics.recall:.3f}"
    _text(draw, (MARGIN, HEIGHT - 36), f"{figures}   specificity {_figure(metrics.specificity)}")
    return _png(image)


def subjects(metrics: Metrics) -> bytes:
    """Draw recall and specificity of each subject, the worst first."""
    ranked = sorted(metrics.per_subject, key=lambda subject: (_worst(subject), subject.subject))
    shown = ranked[:MOST_SUBJECTS]
    image, draw = _canvas(max(HEIGHT // 2, 90 + ROW_PIXELS * len(shown)))
    some = f"the worst {len(shown)} of {len(ranked)}" if len(shown) < len(ranked) else f"{len(ranked)}"
    _text(draw, (MARGIN, 12), f"{some} validation subjects, the worst first")
    columns = (("AFIB found (recall)", 150, BLUE), ("other left alone (specificity)", 440, ORANGE))
    for title, left, colour in columns:
        _text(draw, (left, 44), title, colour=colour)
    for place, subject in enumerate(shown):
        y = 76 + place * ROW_PIXELS
        _text(draw, (140, y + 9), f"S{subject.subject.removeprefix('S')}", anchor="rm")
        found = subject.recall if subject.afib_segments else None
        for (_, left, colour), share in zip(columns, (found, subject.specificity), strict=True):
            _bar(draw, (left, y), share, colour)
    return _png(image)


@dataclass(frozen=True, kw_only=True)
class _Panel:
    """One plot over the epochs."""

    draw: ImageDraw.ImageDraw
    top: int
    bottom: int
    series: tuple[tuple[Colour, Sequence[float]], ...]
    left: int = 90
    right: int = WIDTH - MARGIN

    def draw_with(self, title: str) -> None:
        low, high = self._range()
        self.draw.rectangle((self.left, self.top, self.right, self.bottom), outline=PALE)
        _text(self.draw, (self.left, self.top - 28), title)
        for value in (low, (low + high) / 2, high):
            y = self._y(value)
            self.draw.line((self.left, y, self.right, y), fill=PALE)
            _text(self.draw, (self.left - 8, y), f"{value:.3f}", anchor="rm", colour=GREY)
        for colour, values in self.series:
            points = [
                (self._x(epoch), self._y(value)) for epoch, value in enumerate(values) if math.isfinite(value)
            ]
            self.draw.line(points, fill=colour, width=3, joint="curve")
            for x, y in points if len(points) <= 20 else ():
                self.draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=colour)

    def _range(self) -> tuple[float, float]:
        everything = [value for _, values in self.series for value in values if math.isfinite(value)]
        low, high = min(everything, default=0.0), max(everything, default=0.0)
        return (low, high) if high > low else (low - 0.5, high + 0.5)

    def _x(self, epoch: int) -> float:
        epochs = max(len(values) for _, values in self.series)
        return self.left + 12 + (self.right - self.left - 24) * epoch / max(1, epochs - 1)

    def _y(self, value: float) -> float:
        low, high = self._range()
        return self.bottom - (self.bottom - self.top) * (value - low) / (high - low)


def _canvas(height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (WIDTH, height), WHITE)
    return image, ImageDraw.Draw(image)


def _png(image: Image.Image) -> bytes:
    content = io.BytesIO()
    # A palette makes the file a quarter as large, and compressing it quicker by what the palette costs.
    image.quantize(COLOURS, method=Image.Quantize.FASTOCTREE).save(content, "PNG")
    return content.getvalue()


def _text(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    *,
    anchor: str = "la",
    colour: Colour = BLACK,
    pixels: int = TEXT_PIXELS,
) -> None:
    draw.text(at, text, fill=colour, font=_font(pixels), anchor=anchor)


@cache
def _font(pixels: int) -> Font:
    return ImageFont.load_default(pixels)


def _cell(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    size: tuple[int, int],
    count: int,
    total: int,
    colour: Colour,
) -> None:
    share = count / total if total else 0.0
    left, top = corner
    fill = _tinted(colour, share)
    draw.rectangle((left, top, left + size[0], top + size[1]), fill=fill, outline=WHITE, width=3)
    ink = WHITE if share > 0.6 else BLACK
    x, y = left + size[0] // 2, top + size[1] // 2
    _text(draw, (x, y - 16), f"{count}", anchor="mm", colour=ink, pixels=34)
    _text(draw, (x, y + 22), f"{share:.1%}", anchor="mm", colour=ink)


def _bar(draw: ImageDraw.ImageDraw, corner: tuple[int, int], share: float | None, colour: Colour) -> None:
    """Draw a share; None says that the subject has no segment of that kind."""
    left, top = corner
    length = 190
    draw.rectangle((left, top + 2, left + length, top + 16), fill=PALE)
    if share is not None:
        draw.rectangle((left, top + 2, left + round(length * share), top + 16), fill=colour)
    _text(
        draw,
        (left + length + 8, top + 9),
        "none" if share is None else f"{share:.0%}",
        anchor="lm",
        colour=GREY,
    )


def _tinted(colour: Colour, share: float) -> Colour:
    red, green, blue = (round(255 - (255 - channel) * share) for channel in colour)
    return red, green, blue


def _worst(subject: SubjectMetrics) -> float:
    recall = subject.recall if subject.afib_segments else 1.0
    return min(recall, 1.0 if subject.specificity is None else subject.specificity)


def _figure(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
