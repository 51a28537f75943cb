"""NPZ files: arrays of samples, or matrices with a row for each recording."""

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from atml.ecg.sources.recording import Item, Reading, Recording, record_name
from atml.ecg.sources.tables import check_columns, recordings
from atml.errors import BadRecording


def find(files: Sequence[Path], top: Path, reading: Reading) -> list[Item]:
    """Return one item for each file."""
    check_columns(reading)
    return [
        Item(name=record_name(file, top), read=partial(_read, file, record_name(file, top), reading))
        for file in files
    ]


def _read(file: Path, name: str, reading: Reading) -> Iterator[Recording]:
    columns = {}
    try:
        # No pickles: those of strangers may run any code.
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
            for role, array in reading.columns.items():
                if array not in arrays:
                    has = ", ".join(arrays.files) or "none"
                    raise BadRecording(f"has no array {array}, but {has}; see --columns")
                columns[role] = arrays[array]
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise BadRecording(f"{file.name} cannot be read as NPZ ({error}); write it again") from None
    if np.ndim(columns["signal"]) not in (1, 2):
        raise BadRecording(f"array {reading.columns['signal']} must have one or two dimensions")
    yield from recordings(name, columns, reading)
