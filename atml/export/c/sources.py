"""The C files of a model: the network, a self-test and a Makefile."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from atml.errors import ModelError
from atml.export.c.network import array_text, network_code, number_text, rendered
from atml.export.classifier import OnnxClassifier
from atml.export.onnx_model import TOLERANCE

_LARGEST = 30_000  # of a stored sample; networks scale their input, so any gain will do
PICOLIBC = "--specs=picolibc.specs"


@dataclass(frozen=True, kw_only=True)
class CSources:
    """C files, and the memory that the network needs."""

    files: Mapping[str, str]  # text by name: ecm.c, ecm.h, ecm_selftest.c, Makefile
    memory_bytes: int  # ECM_MEMORY_FLOATS in bytes: the segment and all tensors, not the stack


def to_c(model: bytes, segments: ArrayLike) -> CSources:
    """Return C99 code for a model file, fp32 or INT8. The same bytes give the same text.

    Args:
        model: What `to_onnx` or `quantize_weights` returned.
        segments: A few segments [n, segment_length] for the self-test. They are stored in the file as 16 bit
            integers, so a model whose data is private should not be given them.

    Raises:
        ModelError: names the operator that cannot be generated, or a segment is not finite.
    """
    classifier = OnnxClassifier(model)
    code = network_code(model, classifier.metadata, classifier.segment_length)
    stored = as_integers(segments)
    logits = classifier.logits(stored.astype(np.float32))
    selftest = rendered(
        "ecm_selftest.c.j2",
        segments=array_text("int16_t", "segments", stored),
        logits=[", ".join(number_text(value) for value in row) for row in logits.tolist()],
        tolerance=TOLERANCE,
    )
    makefile = rendered("Makefile.j2", arm_libc=PICOLIBC)
    files = {"ecm.c": code.source, "ecm.h": code.header, "ecm_selftest.c": selftest, "Makefile": makefile}
    return CSources(files=files, memory_bytes=code.memory_bytes)


def as_integers(segments: ArrayLike) -> NDArray[np.int16]:
    """Return segments [n, L] scaled to 16 bit integers, as a converter would deliver them."""
    samples = np.asarray(segments, dtype=np.float64)
    if samples.ndim != 2 or len(samples) == 0 or not np.isfinite(samples).all():
        raise ModelError(f"The self-test needs finite segments [n, L] but got shape {list(samples.shape)}.")
    largest = np.abs(samples).max(axis=1, keepdims=True)
    return np.rint(samples / np.where(largest > 0, largest, 1) * _LARGEST).astype(np.int16)
