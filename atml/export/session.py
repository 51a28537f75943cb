"""Opening an ONNX Runtime session, with one-sentence errors."""

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from atml.errors import ModelError

INPUT = "ecg"
OUTPUT = "logits"

_ERRORS_ONLY = 3
RUNTIME_ERRORS = (
    ort_errors.EPFail,
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
    MemoryError,
    UnicodeDecodeError,  # the message quotes a damaged name
)


def open_session(onnx_model: bytes, *, source: str) -> onnxruntime.InferenceSession:
    """Return a CPU session on one thread; `source` names the model in errors."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    try:
        return onnxruntime.InferenceSession(onnx_model, options, providers=["CPUExecutionProvider"])
    except RUNTIME_ERRORS as error:
        raise ModelError(f"{source} is not an ONNX model that can be run: {error}") from error
