"""The full-integer version of a model, and how far it decides like the model."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from atml import defaults
from atml.ecg import Dataset
from atml.evaluation import Metrics, even_sample
from atml.export import OnnxClassifier, compare_quantized, quantize_fully
from atml.export.qdq import CALIBRATION_SEGMENTS
from atml.files import read_file, write_whole
from atml.reports.assessment import assess
from atml.reports.bundle import BETA, bundle_of
from atml.reports.looks import count_evaluation
from atml.service.watch import Watch

MOST_COMPARED = 5_000  # segments


@dataclass(frozen=True, kw_only=True, eq=False)
class FullInteger:
    """A model with 8 bit weights and activations, compared with the model it was made of."""

    onnx_bytes: int  #: Its size in bytes.
    onnx_bytes_before: int  #: Size of the model in bytes.
    largest_logit_difference: float  #: Largest difference of a logit.
    decisions_equal: float  #: Fraction of equal decisions.
    compared_on_others: bool  #: Whether other segments gave the ranges of the activations; not if all did.
    metrics: Metrics  #: Its metrics on the segments compared.
    metrics_before: Metrics  #: Metrics of the model on the same segments.


def export_qdq(
    model: Path,
    data: Dataset,
    out: Path,
    *,
    storage: str = defaults.STORAGE,
    watch: Watch | None = None,
) -> FullInteger:
    """Write the full-integer version of a model and compare both.

    As by `evaluate`, the look of each at the segments is counted on the study of a bundle.

    Args:
        model: A bundle's folder or an ONNX file.
        data: Segments. Some of each subject give the ranges of the activations; others, at most 5,000, are
            compared. If there are no others, these are.
        out: The file to write.
        storage: URL of the database.
        watch: Receives the number of evaluations of the study's models on other segments.

    Raises:
        ModelError: the file is not an ATML model, or not the one that its bundle describes, its network is
            recurrent, or its weights are integers.
        DataError: the segments are not of the model's length.
        CannotWrite: the file cannot be written.
    """
    bundle = bundle_of(model)
    classifier = bundle.classifier if bundle else OnnxClassifier(model)
    before = read_file(bundle.model if bundle else model)
    beta = bundle.beta if bundle else BETA
    chosen = even_sample(data.subjects, CALIBRATION_SEGMENTS)
    rest = np.setdiff1d(np.arange(len(data)), chosen)
    some = rest if len(rest) else chosen
    compared = data.select(some[even_sample(data.subjects[some], MOST_COMPARED)])
    metrics_before = assess(classifier, compared, beta=beta)  # which refuses segments of another length
    content = quantize_fully(before, data.samples(chosen))
    write_whole(out, content)
    difference, equal = compare_quantized(before, content, compared.samples())
    metrics = assess(OnnxClassifier(content), compared, beta=beta)
    if bundle is not None:
        # Of all segments: another choice among them would be counted as another look.
        known = len(bundle.trained_on(data.subjects.tolist()))
        for file, found in ((before, metrics_before), (content, metrics)):
            said = count_evaluation(bundle, file, data, found, storage, training_subjects=known)
        (watch or Watch()).say(said)
    return FullInteger(
        onnx_bytes=len(content),
        onnx_bytes_before=len(before),
        largest_logit_difference=difference,
        decisions_equal=equal,
        compared_on_others=len(rest) > 0,
        metrics=metrics,
        metrics_before=metrics_before,
    )
