"""Parquet files: a row for each sample, or a row for each recording with a list of samples."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from atml.ecg.sources.recording import Item, Reading, Recording, load_reader, record_name
from atml.ecg.sources.tables import check_columns, recordings
from atml.errors import BadRecording


def find(files: Sequence[Path], top: Path, reading: Reading) -> list[Item]:
    """Return one item for each file."""
    check_columns(reading)
    load_reader("pyarrow.parquet", "Parquet files")
    return [
        Item(name=record_name(file, top), read=partial(_read, file, record_name(file, top), reading))
        for file in files
    ]


def _read(file: Path, name: str, reading: Reading) -> Iterator[Recording]:
    pyarrow, parquet = (
        load_reader("pyarrow", "Parquet files"),
        load_reader("pyarrow.parquet", "Parquet files"),
    )
    try:
        opened = parquet.ParquetFile(str(file))
        has = opened.schema_arrow.names
        missing = [column for column in reading.columns.values() if column not in has]
        if missing:
            raise BadRecording(f"has no column {missing[0]}, but {', '.join(has)}; see --columns")
        table = opened.read(columns=list(dict.fromkeys(reading.columns.values())))
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise BadRecording(f"{file.name} cannot be read as Parquet ({reason}); write it again") from None
    yield from recordings(
        name, {role: _column(table.column(column)) for role, column in reading.columns.items()}, reading
    )


def _column(column: Any) -> Any:
    values = column.to_pylist() if "list" in str(column.type) else column.to_numpy()
    return [np.array(row, dtype=np.float64) for row in values] if isinstance(values, list) else values
