"""Which model file of a bundle becomes C code."""

from pathlib import Path

from atml.errors import ModelError
from atml.export.classifier import OnnxClassifier
from atml.export.quantize import quantize_weights
from atml.files import read_file, why_unreadable

MODEL, INT8_MODEL = "model.onnx", "model.int8.onnx"


def read_model(place: Path, *, int8: bool) -> bytes:
    """Return the bytes of an ONNX file, or of a bundle's INT8 file if it has one, else of its fp32 file.

    With `int8`, weights of an fp32 file are rounded to INT8.

    Raises:
        ModelError: the file cannot be read or, with `int8`, is no model.
    """
    path = place
    if place.is_dir():
        path = place / INT8_MODEL
        path = path if path.exists() else place / MODEL
    try:
        content = read_file(path)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {why_unreadable(error)}") from None
    if not int8 or path.name == INT8_MODEL:
        return content
    OnnxClassifier(path)  # names the file if it is no model
    return quantize_weights(content)
