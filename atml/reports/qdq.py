"""The full-integer version of a model, and how far it decides like the model."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from atml.ecg import Dataset
from atml.evaluation import Metrics, even_sample
from atml.export import OnnxClassifier, compare_quantized, quantize_fully
from atml.export.qdq import CALIBRATION_SEGMENTS
from atml.files import read_file, write_whole
from atml.reports.assessment import assess
from atml.reports.bundle import BETA, MODEL, load_model

MOST_COMPARED = 5_000  # segments


@dataclass(frozen=True, kw_only=True, eq=False)
class FullInteger:
    """A model with 8 bit weights and activations, compared with the model it was made of."""

    onnx_bytes: int  #: Its size in bytes.
    onnx_bytes_before: int  #: Size of the model in bytes.
    largest_logit_difference: float  #: Largest difference of a logit.
    decisions_equal: float  #: Fraction of equal decisions.
    metrics: Metrics  #: Its metrics on segments that did not give the ranges of the activations.
    metrics_before: Metrics  #: Metrics of the model on the same segments.


def export_qdq(model: Path, data: Dataset, out: Path) -> FullInteger:
    """Write the full-integer version of a model and compare both.

    Args:
        model: A bundle's folder or an ONNX file.
        data: Segments. Some of each subject give the ranges of the activations; others, at most 5,000, are
            compared.
        out: The file to write.

    Raises:
        ModelError: the file is not an ATML model, its network is recurrent, or its weights are integers.
        DataError: the segments are not of the model's length.
        CannotWrite: the file cannot be written.
    """
    classifier, _ = load_model(model)
    before = read_file(model / MODEL if model.is_dir() else model)
    chosen = even_sample(data.subjects, CALIBRATION_SEGMENTS)
    rest = np.setdiff1d(np.arange(len(data)), chosen)
    rest = rest if len(rest) else chosen
    compared = data.select(rest[even_sample(data.subjects[rest], MOST_COMPARED)])
    metrics_before = assess(classifier, compared, beta=BETA)  # which refuses segments of another length
    content = quantize_fully(before, data.samples(chosen))
    write_whole(out, content)
    difference, equal = compare_quantized(before, content, compared.samples())
    return FullInteger(
        onnx_bytes=len(content),
        onnx_bytes_before=len(before),
        largest_logit_difference=difference,
        decisions_equal=equal,
        metrics=assess(OnnxClassifier(content), compared, beta=BETA),
        metrics_before=metrics_before,
    )
