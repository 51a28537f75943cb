import io

import numpy as np
import pytest
from PIL import Image

from atml.evaluation import evaluate
from atml.search.records import CurvePoint
from atml.service import pictures


def metrics(labels, calls, subjects):
    labels, calls = np.array(labels), np.array(calls, np.float32)
    rhythms = np.where(labels == 1, "AFIB", "SR")
    return evaluate(labels, calls, np.array(subjects), rhythms, threshold=0.5, beta=2.0, bootstrap=0)


def curve(*fbetas, valid_loss=0.4):
    return [CurvePoint(train_loss=0.5, valid_loss=valid_loss, fbeta=fbeta, seconds=1.0) for fbeta in fbetas]


SOME = metrics([1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 1], ["S1", "S1", "S2", "S2", "S3", "S3"])


@pytest.fixture
def written(monkeypatch):
    """The texts in a picture: Pillow draws them, a test notes them."""
    texts = []
    draw = pictures._text
    monkeypatch.setattr(
        pictures, "_text", lambda d, at, text, **style: (texts.append(text), draw(d, at, text, **style))
    )
    return texts


def test_every_picture_is_a_png_of_one_width():
    for content in pictures.pictures(curve(0.5, 0.7, 0.6), SOME).values():
        image = Image.open(io.BytesIO(content))
        assert (image.format, image.width) == ("PNG", pictures.WIDTH)


def test_the_learning_curve_names_its_best_epoch(written):
    pictures.learning_curve(curve(0.5, 0.7, 0.6))
    assert "validation F-beta: best 0.7000 in epoch 2 of 3" in written


@pytest.mark.parametrize("points", [curve(0.5), curve(0.0, 0.0), curve(0.5, 0.6, valid_loss=float("inf"))])
def test_a_curve_of_one_epoch_a_flat_one_and_an_infinite_one_can_be_drawn(points):
    assert pictures.learning_curve(points).startswith(b"\x89PNG")


def test_the_confusion_counts_every_segment_once(written):
    pictures.confusion(SOME)
    assert [text for text in written if text.isdigit()] == ["2", "1", "1", "2"]


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_alone_can_be_drawn(label, written):
    one = metrics([label] * 4, [1, 0, 1, 1], ["S1", "S1", "S2", "S2"])
    pictures.confusion(one)
    pictures.subjects(one)
    counts = ["3", "1", "0", "0"] if label else ["0", "0", "3", "1"]
    assert [text for text in written if text.isdigit()] == counts
    assert "none" in written


def test_the_worst_subjects_come_first_and_too_many_are_left_out(written):
    pictures.subjects(SOME)
    assert [text for text in written if text.startswith("S")] == ["S2", "S3", "S1"]
    written.clear()
    names = [f"S{number}" for number in range(100)]
    pictures.subjects(metrics([1] * 100, [number % 2 for number in range(100)], names))
    assert "the worst 40 of 100 validation subjects, the worst first" in written
    assert len([text for text in written if text.startswith("S")]) == 40
