"""A page of ECG traces as a PNG file: what the list of suspicious labels looks like on paper."""

import io
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from atml.ecg import SAMPLING_RATE_HZ
from atml.reports.paper import MM_PER_SECOND, gain_for, millimetres
from atml.service.pictures import BLACK, WHITE

PIXELS = 5  # per millimetre
WIDTH, HEIGHT = 125, 30  # millimetres of a strip: 5 s and 3 mV; a unit is taken for a millivolt
SAMPLES = WIDTH * SAMPLING_RATE_HZ // MM_PER_SECOND  # of a strip
COLUMNS, ROWS = 2, 6
MOST_TRACES = COLUMNS * ROWS
MARGIN, TITLE, CAPTION = 20, 44, 26  # pixels
COLOURS, SMOOTH = 32, 3  # traces are drawn larger and reduced, which smooths their edges
FINE, COARSE = (250, 222, 222), (240, 178, 178)  # of the paper's lines

Trace = tuple[str, NDArray[np.float32]]  # caption, samples


def page(title: str, traces: Sequence[Trace]) -> bytes:
    """Return a page with up to `MOST_TRACES` traces; of longer ones, the first 5 s.

    Texts are ASCII, which is all that Pillow's own font has. Traces that do not fit at 10 mm per unit, or
    would be flat, are drawn at another power of two of it; the title says at which.
    """
    shown = [(caption, samples[:SAMPLES]) for caption, samples in traces[:MOST_TRACES]]
    gain = gain_for([samples for _, samples in shown], HEIGHT)
    column, row = WIDTH * PIXELS + MARGIN, HEIGHT * PIXELS + CAPTION + MARGIN
    rows = math.ceil(len(shown) / COLUMNS)
    image = Image.new("RGB", (MARGIN + COLUMNS * column, MARGIN + TITLE + rows * row), WHITE)
    draw = ImageDraw.Draw(image)
    draw.font = ImageFont.load_default(18)
    draw.text((MARGIN, MARGIN), f"{title} ({MM_PER_SECOND} mm/s, {gain:g} mm/mV)", fill=BLACK, font_size=22)
    paper = _paper()
    for place, (caption, samples) in enumerate(shown):
        x = MARGIN + place % COLUMNS * column
        y = MARGIN + TITLE + place // COLUMNS * row
        draw.text((x, y), caption, fill=BLACK)
        image.paste(_strip(paper, samples, gain), (x, y + CAPTION))
    content = io.BytesIO()
    image.quantize(COLOURS, method=Image.Quantize.FASTOCTREE).save(content, "PNG")
    return content.getvalue()


def _paper() -> Image.Image:
    """Return an empty strip with a line for each millimetre."""
    paper = Image.new("RGB", (WIDTH * PIXELS + 1, HEIGHT * PIXELS + 1), WHITE)
    draw = ImageDraw.Draw(paper)
    for step, colour in ((1, FINE), (5, COARSE)):
        for x in range(0, WIDTH * PIXELS + 1, step * PIXELS):
            draw.line((x, 0, x, paper.height), fill=colour)
        for y in range(0, HEIGHT * PIXELS + 1, step * PIXELS):
            draw.line((0, y, paper.width, y), fill=colour)
    return paper


def _strip(paper: Image.Image, samples: NDArray[np.float32], gain: float) -> Image.Image:
    """Return the paper with a trace, vertically centred."""
    ink = Image.new("L", (SMOOTH * paper.width, SMOOTH * paper.height))
    x, y = millimetres(samples, gain) * (SMOOTH * PIXELS)
    points = list(zip(x.tolist(), (ink.height / 2 + y).tolist(), strict=True))
    ImageDraw.Draw(ink).line(points, fill=255, width=2 * SMOOTH, joint="curve")
    strip = paper.copy()
    strip.paste(BLACK, mask=ink.reduce(SMOOTH))
    return strip
