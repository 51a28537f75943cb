"""PyTorch module -> slim ONNX bytes, and a check that both compute the same."""

import copy
import io
import math
import threading
import warnings

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from atml.errors import ModelError, ParityError
from atml.export.classifier import INPUT, OUTPUT, open_session
from atml.export.graph import checked_bytes
from atml.export.metadata import OnnxMetadata
from atml.export.slim import OPSET, slim

BATCH = 256
TOLERANCE = 1e-4

# PyTorch's exporter keeps its state in globals, and so does `warnings`.
_exporting = threading.Lock()


def to_onnx(model: nn.Module, *, segment_length: int, metadata: OnnxMetadata | None = None) -> bytes:
    """Return the model as ONNX: `ecg` [batch, 1, segment_length] -> `logits` [batch, 2].

    The model, its mode and the random state are not changed. The number of bytes depends on the
    model's structure and on the metadata, not on the weights.
    """
    # A copy, since exporting switches modes and a model on a GPU must stay there. A deep one, since a module
    # may refer to its layers in other ways than by their names.
    frozen = copy.deepcopy(model).cpu().requires_grad_(False).eval()
    slimmed = slim(_exported(frozen, segment_length))
    if metadata is not None:
        onnx.helper.set_model_props(slimmed, metadata.to_properties())
    return checked_bytes(slimmed)


def check_parity(model: nn.Module, onnx_model: bytes, samples: NDArray[np.float32]) -> float:
    """Return the largest difference between PyTorch's and ONNX's logits over `samples` [n, L].

    Raises ParityError if it exceeds `TOLERANCE` * max(1, largest |logit|).

    Rounding errors of 32 bit floats are proportional to the numbers, so an absolute limit would refuse
    sound models with large logits.
    """
    if len(samples) == 0:
        raise ModelError("Parity needs at least one segment but got none.")
    session = open_session(onnx_model, source="The exported model")
    frozen = copy.deepcopy(model).cpu().eval()
    segments = np.ascontiguousarray(samples[:, None, :], dtype=np.float32)
    batches = [segments[start : start + BATCH] for start in range(0, len(segments), BATCH)]
    with torch.no_grad():
        expected = torch.cat([frozen(torch.from_numpy(batch)) for batch in batches]).numpy()
    logits = np.concatenate([session.run([OUTPUT], {INPUT: batch})[0] for batch in batches])
    with np.errstate(invalid="ignore"):  # infinity minus infinity is NaN, which must fail
        difference = float(np.abs(expected - logits).max())
    largest = float(np.abs(expected).max())
    allowed = TOLERANCE * max(1.0, largest)
    # NaN or infinity on either side fails.
    if not (math.isfinite(difference) and difference <= allowed):
        raise ParityError(
            f"The ONNX model's logits differ from PyTorch's by {difference:.2e}, "
            f"more than the {allowed:.0e} allowed for logits of up to {largest:.2g}."
        )
    return difference


def _exported(model: nn.Module, segment_length: int) -> onnx.ModelProto:
    buffer = io.BytesIO()
    # The TorchScript exporter is deprecated, but fifty times as fast and a third smaller.
    with _exporting, warnings.catch_warnings(action="ignore"):
        fast = torch.backends.mha.get_fastpath_enabled()
        # ONNX has no operator for what attention uses on its fast path.
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            torch.onnx.export(
                model,
                (torch.zeros(2, 1, segment_length),),
                buffer,  # type: ignore[arg-type]  # the TorchScript exporter takes any binary file
                dynamo=False,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_axes={INPUT: {0: "batch"}, OUTPUT: {0: "batch"}},
            )
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)
    return onnx.load_from_string(buffer.getvalue())
