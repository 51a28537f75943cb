"""CSV and TSV files with a header line and a row for each sample."""

import csv
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from atml.ecg.sources.recording import Item, Reading, Recording, record_name
from atml.ecg.sources.tables import check_columns, recordings
from atml.errors import BadRecording

_NUMBERS = ("signal", "time", "rate")
_MISSING = ("", "nan", "na", "null", "none")


def find(files: Sequence[Path], top: Path, reading: Reading) -> list[Item]:
    """Return one item for each file."""
    check_columns(reading)
    return [
        Item(name=record_name(file, top), read=partial(_read, file, record_name(file, top), reading))
        for file in files
    ]


def _read(file: Path, name: str, reading: Reading) -> Iterator[Recording]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            first = opened.readline()
            delimiter = max(",;\t", key=first.count)
            header = [cell.strip() for cell in next(csv.reader([first], delimiter=delimiter), [])]
            rows = csv.reader(opened, delimiter=delimiter)
            columns = _columns(header, rows, reading)
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadRecording(f"{file.name} is not a CSV file in UTF-8 ({error}); export it again") from None
    yield from recordings(name, columns, reading)


def _columns(header: list[str], rows: Iterator[list[str]], reading: Reading) -> dict[str, Any]:
    places = {}
    for role, column in reading.columns.items():
        if column not in header:
            raise BadRecording(f"has no column {column}, but {', '.join(header) or 'none'}; see --columns")
        places[role] = header.index(column)
    values: dict[str, list[Any]] = {role: [] for role in places}
    for line, row in enumerate(rows, start=2):
        if not row:
            continue
        for role, place in places.items():
            cell = row[place].strip() if place < len(row) else ""
            values[role].append(_number(cell, line, header[place]) if role in _NUMBERS else cell)
    return {role: np.array(column) if role in _NUMBERS else column for role, column in values.items()}


def _number(cell: str, line: int, column: str) -> float:
    try:
        return np.nan if cell.lower() in _MISSING else float(cell)
    except ValueError:
        raise BadRecording(
            f"line {line}: expected a number in column {column} but got {cell[:40]!r}; correct it"
        ) from None
