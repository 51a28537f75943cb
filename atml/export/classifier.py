"""Running an exported model: segments in, probabilities of AFIB out."""

import time
from os import PathLike
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import ArrayLike, NDArray

from atml.errors import ModelError
from atml.export.metadata import OnnxMetadata
from atml.files import read_file

INPUT = "ecg"
OUTPUT = "logits"
BATCH = 256
_ERRORS_ONLY = 3


class OnnxClassifier:
    """A model file that maps `ecg` [batch, 1, L] to `logits` [batch, 2]."""

    metadata: OnnxMetadata
    segment_length: int

    def __init__(self, model: bytes | str | PathLike[str]) -> None:
        """Load a path or bytes; raise ModelError for any other kind of model."""
        self._source = source = "The model" if isinstance(model, bytes) else str(model)
        self._session = open_session(_read(model), source=source)
        try:
            self.segment_length = _segment_length(self._session, source)
            properties = self._session.get_modelmeta().custom_metadata_map
        except UnicodeDecodeError as error:
            raise ModelError(f"{source} is damaged: a name in it is not text ({error}).") from None
        self.metadata = OnnxMetadata.from_properties(properties, source=source)

    def probabilities(self, samples: ArrayLike) -> NDArray[np.float64]:
        """Return the probability of AFIB [n] of the segments `samples` [n, segment_length].

        Raises:
            ModelError: the segments have another length, or a logit is infinite or not a number.
        """
        logits = self.logits(samples)
        # The softmax of two logits, written so that no exponential can overflow.
        margin = logits[:, 1].astype(np.float64) - logits[:, 0]
        if not np.isfinite(margin).all():
            first = int(np.flatnonzero(~np.isfinite(margin))[0])
            raise ModelError(f"The model's logits for segment {first} (counted from 0) are not finite.")
        return np.asarray((1 + np.tanh(margin / 2)) / 2)

    def latency_ms(self, runs: int = 50) -> float:
        """Return the median time in milliseconds that one segment takes on this machine, with one thread."""
        segment = np.zeros((1, self.segment_length), np.float32)
        times = []
        for _ in range(runs + 1):  # the first is slower
            start = time.perf_counter()
            self.logits(segment)
            times.append(time.perf_counter() - start)
        return float(np.median(times[1:])) * 1000

    def logits(self, samples: ArrayLike) -> NDArray[np.float32]:
        """Return the logits [n, 2] of the segments `samples` [n, segment_length].

        Raises:
            ModelError: the segments have another length, or the model cannot be run on them.
        """
        ecg = np.asarray(samples, dtype=np.float32)
        if ecg.ndim != 2 or ecg.shape[1] != self.segment_length:
            raise ModelError(
                f"The model takes segments of {self.segment_length} samples, [n, "
                f"{self.segment_length}], but got an array of shape {list(ecg.shape)}."
            )
        logits = np.empty((len(ecg), 2), dtype=np.float32)
        for start in range(0, len(ecg), BATCH):
            part = slice(start, start + BATCH)
            logits[part] = self._run(ecg[part, None, :])
        return logits

    def _run(self, ecg: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            (logits,) = self._session.run([OUTPUT], {INPUT: ecg})
        except Exception as error:  # ONNX Runtime's errors have no common base
            raise ModelError(f"{self._source} cannot be run: {error}") from error
        if logits.shape != (len(ecg), 2):
            raise ModelError(
                f"{self._source} returns logits of shape {list(logits.shape)} for {len(ecg)} segments."
            )
        return np.asarray(logits)


def open_session(onnx_model: bytes, *, source: str) -> onnxruntime.InferenceSession:
    """Return a CPU session on one thread; `source` names the model in errors."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    try:
        return onnxruntime.InferenceSession(onnx_model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no common base
        raise ModelError(f"{source} is not an ONNX model that can be run: {error}") from error


def _read(model: bytes | str | PathLike[str]) -> bytes:
    if isinstance(model, bytes):
        return model
    try:
        return read_file(Path(model))
    except OSError as error:
        raise ModelError(f"{model} cannot be read: {error.strerror}.") from error


def _segment_length(session: onnxruntime.InferenceSession, source: str) -> int:
    """Check names, types and shapes, and return the segment length."""
    inputs = [(i.name, i.type, i.shape) for i in session.get_inputs()]
    outputs = [(o.name, o.type, o.shape) for o in session.get_outputs()]
    match inputs, outputs:
        case (
            [("ecg", "tensor(float)", [str() | None, 1, int(length)])],
            [("logits", "tensor(float)", [str() | None, 2])],
        ):
            return length
    raise ModelError(
        f"{source} must map 'ecg' float32 [batch, 1, L] to 'logits' float32 [batch, 2] "
        f"but maps {_described(inputs)} to {_described(outputs)}."
    )


def _described(tensors: list[tuple[str, str, list[object]]]) -> str:
    return ", ".join(f"{name!r} {kind} {shape}" for name, kind, shape in tensors)
