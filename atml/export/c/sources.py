"""The C files of a model: the network, a self-test and a Makefile."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from atml.ecg.sources.simulator import draw_subject
from atml.errors import ModelError
from atml.export.c.network import array_text, network_code, number_text, rendered
from atml.export.classifier import OnnxClassifier
from atml.export.onnx_model import TOLERANCE
from atml.files import make_folder, write_whole

_LARGEST = 30_000  # of a stored sample; networks scale their input, so any gain will do
_SIMULATED = 4  # segments of the self-test
_PICOLIBC = "--specs=picolibc.specs"


@dataclass(frozen=True, kw_only=True)
class CSources:
    """C files, and the memory that the network needs."""

    files: Mapping[str, str]  # text by name: ecm.c, ecm.h, ecm_selftest.c, Makefile
    memory_bytes: int  # of ECM_MEMORY_FLOATS: the segment and all tensors, not the stack
    onnx_bytes: int
    measurement: str  # a program for `check_c`


def to_c(
    model: bytes, segments: ArrayLike | None = None, *, least_confidence: float | None = None
) -> CSources:
    """Return C99 code for a model file, fp32 or INT8. The same bytes give the same text.

    Example:
        >>> sources = to_c(Path("model.onnx").read_bytes())
        >>> write_c(sources, Path("firmware/ecm"))

    Args:
        model: What `to_onnx` or `quantize_weights` returned.
        segments: A few segments [n, segment_length] for the self-test, by default simulated ones. They are
            written into its file, so they should not be a patient's.
        least_confidence: From .5 to 1: answers with a lower confidence are to be withheld. The header says
            how; the code is the same.

    Raises:
        ModelError: names the operator that cannot be generated, or the segments cannot be used.
    """
    classifier = OnnxClassifier(model)
    length = classifier.segment_length
    stored = as_integers(_simulated(length) if segments is None else segments)
    code = network_code(model, classifier.metadata, length, least_confidence=least_confidence)
    logits = classifier.logits(stored.astype(np.float32))
    selftest = rendered(
        "ecm_selftest.c.j2",
        segments=array_text("int16_t", "segments", stored),
        logits=[", ".join(number_text(value) for value in row) for row in logits.tolist()],
        tolerance=TOLERANCE,
    )
    return CSources(
        files={
            "ecm.c": code.source,
            "ecm.h": code.header,
            "ecm_selftest.c": selftest,
            "Makefile": rendered("Makefile.j2", arm_libc=_PICOLIBC),
        },
        memory_bytes=code.memory_bytes,
        onnx_bytes=len(model),
        measurement=rendered("measure.c.j2", segments=array_text("int16_t", "segments", stored[:1])),
    )


def write_c(sources: CSources, folder: Path) -> None:
    """Write the files to a folder, which is created if needed.

    Raises:
        CannotWrite: names the file and the reason.
    """
    make_folder(folder)
    for name, text in sources.files.items():
        write_whole(folder / name, text.encode())


def _simulated(length: int) -> NDArray[np.float64]:
    """Return simulated segments [n, length] of one subject, with and without atrial fibrillation."""
    return np.concatenate(list(draw_subject(1, _SIMULATED, length, 0).values()))


def as_integers(segments: ArrayLike) -> NDArray[np.int16]:
    """Return segments [n, L] scaled to 16 bit integers, as a converter would deliver them."""
    samples = np.asarray(segments, dtype=np.float64)
    if samples.ndim != 2 or len(samples) == 0 or not np.isfinite(samples).all():
        raise ModelError(f"The self-test needs finite segments [n, L] but got shape {list(samples.shape)}.")
    largest = np.abs(samples).max(axis=1, keepdims=True)
    return np.rint(samples / np.where(largest > 0, largest, 1) * _LARGEST).astype(np.int16)
