import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from atml.dashboard.picture import WIDTH, picture
from atml.evaluation import evaluate
from atml.tuning.records import CurvePoint


def metrics(labels, calls, subjects):
    labels, calls = np.array(labels), np.array(calls, np.float32)
    rhythms = np.where(labels == 1, "AFIB", "SR")
    return evaluate(labels, calls, np.array(subjects), rhythms, threshold=0.5, beta=2.0, bootstrap=0)


def curve(*fbetas, valid_loss=0.4, fold=0):
    return [
        CurvePoint(fold=fold, train_loss=0.5, valid_loss=valid_loss, fbeta=fbeta, seconds=1.0)
        for fbeta in fbetas
    ]


SOME = metrics([1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 1], ["S1", "S1", "S2", "S2", "S3", "S3"])


@pytest.fixture
def drawn(monkeypatch):
    """The texts and the curves in a picture: Pillow draws them, a test notes them."""
    texts, curves = [], []
    text, line = ImageDraw.ImageDraw.text, ImageDraw.ImageDraw.line

    def note_text(draw, at, words, **style):
        texts.append(words)
        text(draw, at, words, **style)

    def note_line(draw, points, **style):
        curves.extend([points] if "joint" in style else [])
        line(draw, points, **style)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", note_text)
    monkeypatch.setattr(ImageDraw.ImageDraw, "line", note_line)
    return texts, curves


def test_it_is_a_png_of_a_fixed_width():
    image = Image.open(io.BytesIO(picture(curve(0.5, 0.7, 0.6), SOME)))
    assert (image.format, image.width) == ("PNG", WIDTH)


@pytest.mark.parametrize("folds", [1, 3])
def test_it_names_the_folds_and_draws_each_from_its_first_epoch(drawn, folds):
    texts, curves = drawn
    picture([point for fold in range(folds) for point in curve(0.5, 0.7, 0.6, fold=fold)], SOME)
    assert f"validation F-beta over {folds} fold{'s' if folds > 1 else ''}" in texts
    assert len(curves) == 3 * folds  # F-beta and both losses
    assert len({points[0][0] for points in curves}) == 1  # they begin at the same place


@pytest.mark.parametrize(
    "points", [[], curve(0.5), curve(0.0, 0.0), curve(0.5, 0.6, valid_loss=float("inf"))]
)
def test_an_empty_curve_one_of_one_epoch_a_flat_and_an_infinite_one_can_be_drawn(points):
    assert picture(points, SOME).startswith(b"\x89PNG")


def test_the_confusion_counts_every_segment_once(drawn):
    picture([], SOME)
    assert [text for text in drawn[0] if text.isdigit()] == ["2", "1", "1", "2"]


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_alone_can_be_drawn(label, drawn):
    picture([], metrics([label] * 4, [1, 0, 1, 1], ["S1", "S1", "S2", "S2"]))
    counts = ["3", "1", "0", "0"] if label else ["0", "0", "3", "1"]
    assert [text for text in drawn[0] if text.isdigit()] == counts
    assert "none" in drawn[0]


def test_the_worst_subjects_come_first_and_too_many_are_left_out(drawn):
    picture([], SOME)
    assert [text for text in drawn[0] if text.startswith("S")] == ["S2", "S3", "S1"]
    drawn[0].clear()
    names = [f"S{number}" for number in range(100)]
    picture([], metrics([1] * 100, [number % 2 for number in range(100)], names))
    assert "the worst 40 of 100 validation subjects, the worst first" in drawn[0]
    assert len([text for text in drawn[0] if text.startswith("S")]) == 40
