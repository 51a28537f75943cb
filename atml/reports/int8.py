"""The INT8 version of a shipped model, and whether it is close enough to be shipped too."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atml.evaluation import Metrics
from atml.evaluation.stored import Stored
from atml.export import compare_quantized, quantize_weights

MODEL_INT8 = "model.int8.onnx"
# The share of decisions that must stay the same. In measurements over all architectures at least .9966 did,
# and F1 changed by .0013 at most (`tests/benchmarks/int8.py`).
EQUAL_DECISIONS = 0.99


@dataclass(frozen=True, kw_only=True)
class Int8Figures(Stored):
    """The INT8 version of a model, compared with the model itself on training segments."""

    onnx_bytes: int  #: Size of `model.int8.onnx` in bytes.
    shipped: bool  #: Whether it is in the bundle: at least 99 % of its decisions are equal.
    largest_logit_difference: float  #: Largest difference of a logit.
    decisions_equal: float  #: Fraction of equal decisions.
    test: Metrics | None = None  #: Metrics on the test segments; None without `--test`.


def int8_version(onnx: bytes, segments: NDArray[np.float32]) -> tuple[bytes, Int8Figures] | None:
    """Return the INT8 version of a model file and its figures, or None if it would not be smaller.

    Of `segments` [n, L], on which the model was trained, every other one corrects the logits, and the rest
    are compared.

    Raises:
        ModelError: a weight is undefined or beyond the range of 16 bit floats.
    """
    content = quantize_weights(onnx, segments[::2])
    if content == onnx:
        return None
    difference, equal = compare_quantized(onnx, content, segments[1::2])
    return content, Int8Figures(
        onnx_bytes=len(content),
        shipped=equal >= EQUAL_DECISIONS,
        largest_logit_difference=difference,
        decisions_equal=equal,
    )
