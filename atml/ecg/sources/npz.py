"""NPZ files: arrays of samples, or matrices with a row for each recording."""

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atml.ecg.sources.columns import LABELS, Labels
from atml.ecg.sources.iesd import Problem
from atml.ecg.sources.recording import Reading, Recording
from atml.ecg.sources.tables import recordings, recordings_of_rows
from atml.errors import BadRecording


def read(file: Path, name: str, reading: Reading) -> Iterator[Recording | Problem]:
    """Yield the recordings of a file."""
    arrays = {}
    try:
        # No pickles: those of strangers may run any code.
        with file.open("rb") as opened, np.lib.npyio.NpzFile(opened, allow_pickle=False) as stored:
            for role, array in reading.columns.items():
                if array not in stored:
                    has = ", ".join(stored.files) or "none"
                    raise BadRecording(f"has no array {array}, but {has}; see --columns")
                arrays[role] = np.asarray(stored[array])
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise BadRecording(f"{file.name} cannot be read as NPZ ({error}); write it again") from None
    signal = arrays["signal"]
    if signal.ndim not in (1, 2):
        raise BadRecording(f"array {reading.columns['signal']} must have one or two dimensions")
    columns = {role: _column(role, array, len(signal)) for role, array in arrays.items()}
    if signal.ndim == 1:
        # A label given once for the file is not compared row by row.
        labels = {role: Labels(np.atleast_1d(arrays[role])) for role in LABELS if role in arrays}
        yield from recordings(name, {**columns, **labels}, reading)
    else:
        parts = (
            {role: column[row : row + 1] for role, column in columns.items()} for row in range(len(signal))
        )
        yield from recordings_of_rows(name, len(signal), parts, reading)


def _column(role: str, array: NDArray[Any], rows: int) -> NDArray[Any]:
    """Return an array as a column; one without dimensions holds for all rows."""
    if array.ndim and len(array) != rows:
        raise BadRecording(f"{role} has {len(array)} values for {rows} of the signal")
    if role != "signal" and (array.ndim > 1 or (role == "time" and array.ndim == 0)):
        raise BadRecording(f"{role} must be an array with a value for each row")
    if role not in LABELS:
        try:
            array = array.astype(np.float64, copy=False)
        except (TypeError, ValueError):
            raise BadRecording(f"{role} holds no numbers; see --columns") from None
    return array if array.ndim else np.broadcast_to(array, rows)
