"""Test vectors: segments and the logits that a bundle's models must compute for them on any machine."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from atml.ecg import draw_subject
from atml.errors import ModelError
from atml.export import OnnxClassifier
from atml.files import read_file

VECTORS = "vectors.npz"
SUBJECTS, SEGMENTS, SEED = 4, 4, 2026


@dataclass(frozen=True, kw_only=True, eq=False)
class Vectors:
    """What a model answered when it was shipped."""

    segments: NDArray[np.float32]  # [n, segment length]
    logits: dict[str, NDArray[np.float32]]  # [n, 2], by file name of the model

    def to_bytes(self) -> bytes:
        """Return the vectors as an NPZ file."""
        file = io.BytesIO()
        np.savez_compressed(file, allow_pickle=False, segments=self.segments, **self.logits)
        return file.getvalue()


def make_vectors(models: dict[str, bytes], segment_length: int) -> Vectors:
    """Return the logits of models, by file name, for simulated segments: a bundle holds no one's ECG."""
    rows = [
        samples
        for number in range(SUBJECTS)
        for samples in draw_subject(number, SEGMENTS, segment_length, SEED).values()
    ]
    segments = np.concatenate(rows).astype(np.float32)
    logits = {name: OnnxClassifier(model).logits(segments) for name, model in models.items()}
    return Vectors(segments=segments, logits=logits)


def load_vectors(path: Path) -> Vectors:
    """Read the file of `Vectors.to_bytes`; raise ModelError for anything else."""
    try:
        file = io.BytesIO(read_file(path))
        with np.load(file, allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
        return Vectors(segments=arrays.pop("segments"), logits=arrays)
    except Exception as error:  # noqa: BLE001  # damage ends in errors of zlib, zipfile, tokenize and others
        raise ModelError(f"{path} does not hold test vectors: {error}") from None
