"""Test vectors: segments and the logits that a bundle's models must compute for them on any machine."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from atml.ecg import draw_subject
from atml.errors import ModelError
from atml.export import OnnxClassifier
from atml.files import read_file

VECTORS = "vectors.npz"
SUBJECTS, SEGMENTS, SEED = 4, 4, 2026


def make_vectors(models: dict[str, bytes], segment_length: int) -> bytes:
    """Return an NPZ file with segments [n, L] and the models' logits [n, 2] by file name.

    The segments are simulated: a bundle holds no one's ECG.
    """
    rows = [
        samples
        for number in range(SUBJECTS)
        for samples in draw_subject(number, SEGMENTS, segment_length, SEED).values()
    ]
    segments = np.concatenate(rows).astype(np.float32)
    logits = {name: OnnxClassifier(model).logits(segments) for name, model in models.items()}
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, segments=segments, **logits)
    return file.getvalue()


def load_vectors(path: Path) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
    """Return the segments and the logits by file name that `make_vectors` wrote.

    Raises:
        ModelError: the file holds anything else.
    """
    try:
        file = io.BytesIO(read_file(path))
        with np.load(file, allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
        return arrays.pop("segments"), arrays
    except Exception as error:  # noqa: BLE001  # damage ends in errors of zlib, zipfile, tokenize and others
        raise ModelError(f"{path} does not hold test vectors: {error}") from None
