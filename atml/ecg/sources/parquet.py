"""Parquet files: a row for each sample, or a row for each recording with a list of samples."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from atml.ecg.sources.columns import LABELS, PART_ROWS, gathered
from atml.ecg.sources.iesd import Problem
from atml.ecg.sources.recording import Reading, Recording, load_reader
from atml.ecg.sources.tables import check_header, recordings, recordings_of_rows
from atml.errors import BadRecording


def read(file: Path, name: str, reading: Reading) -> Iterator[Recording | Problem]:
    """Yield the recordings of a file."""
    pyarrow = load_reader("pyarrow", "Parquet files")
    parquet = load_reader("pyarrow.parquet", "Parquet files")
    try:
        with parquet.ParquetFile(str(file)) as opened:
            check_header(opened.schema_arrow.names, reading)
            if _are_lists(opened.schema_arrow, reading):
                # One at a time, since a row may be as long as a day.
                parts = _parts(opened, reading, rows=1)
                yield from recordings_of_rows(name, opened.metadata.num_rows, parts, reading)
            else:
                yield from recordings(name, gathered(reading.columns, _parts(opened, reading)), reading)
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise BadRecording(f"{file.name} cannot be read as Parquet ({reason}); write it again") from None


def _are_lists(schema: Any, reading: Reading) -> bool:
    """Return whether the signal is a list in each row.

    Raises:
        BadRecording: a column holds neither values nor, as the signal may, lists of values.
    """
    types = load_reader("pyarrow.types", "Parquet files")
    kinds = {role: schema.field(name).type for role, name in reading.columns.items()}
    signal = kinds["signal"]
    listed: bool = types.is_list(signal) or types.is_large_list(signal) or types.is_fixed_size_list(signal)
    for role, kind in kinds.items():
        if types.is_nested(signal.value_type if listed and role == "signal" else kind):
            raise BadRecording(f"column {reading.columns[role]} holds {kind}; see --columns")
    return listed


def _parts(opened: Any, reading: Reading, rows: int = PART_ROWS) -> Iterator[dict[str, Any]]:
    """Yield some rows of each column after another."""
    for batch in opened.iter_batches(rows, columns=list(dict.fromkeys(reading.columns.values()))):
        yield {role: _column(role, batch.column(name)) for role, name in reading.columns.items()}


def _column(role: str, column: Any) -> Any:
    if "list" in str(column.type):
        return [
            np.empty(0) if row.values is None else row.values.to_numpy(zero_copy_only=False) for row in column
        ]
    if role in LABELS and column.null_count and "int" in str(column.type):
        return column.to_pylist()  # an array of floats, which can say that one is missing, holds 16 digits
    return column.to_numpy(zero_copy_only=False)
