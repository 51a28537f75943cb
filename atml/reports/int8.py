"""The INT8 version of a shipped model, and whether it is close enough to be shipped too."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atml.evaluation import Metrics
from atml.export import Agreement, compare_quantized, quantize_weights

MODEL_INT8 = "model.int8.onnx"
# The share of decisions that must stay the same. In measurements over all architectures at least .9966 did,
# and F1 changed by .0013 at most (`tests/benchmarks/int8.py`).
EQUAL_DECISIONS = 0.99


@dataclass(frozen=True, kw_only=True, eq=False)
class Int8Model:
    """A model with INT8 weights, compared with the same model in float32."""

    content: bytes = field(repr=False)
    agreement: Agreement  # on training segments
    test: Metrics | None = None  # at the same threshold, on the same test segments

    @property
    def onnx_bytes(self) -> int:
        """Size of the file."""
        return len(self.content)

    @property
    def is_close(self) -> bool:
        """Whether enough decisions are those of the float32 model; only then is it shipped."""
        return self.agreement.decisions_equal >= EQUAL_DECISIONS

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as JSON."""
        return {
            "onnx_bytes": self.onnx_bytes,
            "shipped": self.is_close,
            "largest_logit_difference": self.agreement.largest_difference,
            "decisions_equal": self.agreement.decisions_equal,
            "test": self.test.to_dict() if self.test else None,
        }


def int8_version(onnx: bytes, segments: NDArray[np.float32]) -> Int8Model | None:
    """Return the INT8 version of a model file, or None if it would not be smaller.

    Of `segments` [n, L], on which the model was trained, every other one corrects the logits, and the rest
    are compared.

    Raises:
        ModelError: a weight is undefined or beyond the range of 16 bit floats.
    """
    content = quantize_weights(onnx, segments[::2])
    if content == onnx:
        return None
    return Int8Model(content=content, agreement=compare_quantized(onnx, content, segments[1::2]))
