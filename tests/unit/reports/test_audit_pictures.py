import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from atml.reports.audit_pictures import COLUMNS, MOST_TRACES, page

BEAT = np.sin(np.arange(1250) / 20).astype(np.float32)


def opened(traces, title="S1"):
    return Image.open(io.BytesIO(page(title, traces)))


def ink(image):
    """Return how many pixels are dark."""
    return int((np.asarray(image.convert("L")) < 100).sum())


@pytest.fixture
def texts(monkeypatch):
    texts = []
    text = ImageDraw.ImageDraw.text

    def note(draw, at, words, **style):
        texts.append(words)
        text(draw, at, words, **style)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", note)
    return texts


def test_it_is_a_png_that_grows_by_rows_and_has_a_line_of_ink_for_each_trace():
    one, three, all_ = (opened([("trace", BEAT)] * count) for count in (1, 3, MOST_TRACES))
    assert one.format == "PNG"
    assert one.width == three.width == all_.width
    strip = (three.height - one.height) * COLUMNS / 2
    assert all_.height == one.height + strip * (MOST_TRACES / COLUMNS - 1)
    assert ink(all_) > 2 * ink(three) > 4 * ink(one) > 4 * ink(opened([])) > 0


def test_more_than_a_page_holds_is_left_out(texts):
    page("S1", [(f"S1-N-{number}.txt", BEAT) for number in range(MOST_TRACES + 5)])
    assert len(texts) == MOST_TRACES + 1


@pytest.mark.parametrize(("amplitude", "gain"), [(1, 10), (0.1, 10), (0, 10), (2, 5), (1000, 10 / 1024)])
def test_the_title_says_at_which_gain_all_traces_fit(texts, amplitude, gain):
    page("S1", [("trace", amplitude * BEAT)])
    assert texts[0] == f"S1 (25 mm/s, {gain:g} mm/mV)"


def test_a_tiny_signal_is_enlarged(texts):
    page("S1", [("trace", BEAT / 1000)])
    assert texts[0] == f"S1 (25 mm/s, {10 * 2**10:g} mm/mV)"


@pytest.mark.parametrize("length", [2, 250, 9000])
def test_segments_of_any_length_can_be_drawn(length):
    assert ink(opened([("trace", np.linspace(-1, 1, length, dtype=np.float32))])) > 0
