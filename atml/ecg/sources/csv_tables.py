"""CSV and TSV files with a header line and a row for each sample."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from atml.ecg.sources.columns import LABELS, MISSING, PART_ROWS, gathered
from atml.ecg.sources.iesd import Problem
from atml.ecg.sources.recording import Reading, Recording
from atml.ecg.sources.tables import check_header, recordings
from atml.errors import BadRecording


def read(file: Path, name: str, reading: Reading) -> Iterator[Recording | Problem]:
    """Yield the recordings of a file."""
    return recordings(name, gathered(reading.columns, _parts(file, reading)), reading)


def _parts(file: Path, reading: Reading) -> Iterator[dict[str, list[Any]]]:
    """Yield some rows of each column after another."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            first = opened.readline()
            delimiter = max(",;\t", key=first.count)
            header = [cell.strip() for cell in next(csv.reader([first], delimiter=delimiter), [])]
            check_header(header, reading)
            places = {role: header.index(column) for role, column in reading.columns.items()}
            # Row by row: thousands of rows kept together would cost the garbage collector most of the time.
            cells: dict[str, list[Any]] = {role: [] for role in places}
            blank = 0
            for line, row in enumerate(csv.reader(opened, delimiter=delimiter), start=2):
                if not row:
                    blank += 1
                    continue
                # In a table of one column a blank line is a missing value, unless nothing follows.
                for _ in range(blank if len(header) == 1 else 0):
                    cells["signal"].append(np.nan)
                blank = 0
                if any(row[len(header) :]):  # a decimal comma would cut numbers off
                    raise BadRecording(f"line {line}: has {len(row)} cells for {len(header)} columns")
                for role, place in places.items():
                    cell = row[place].strip() if place < len(row) else ""
                    cells[role].append(cell if role in LABELS else _number(cell, line, header[place]))
                if len(cells["signal"]) >= PART_ROWS:
                    yield cells
                    cells = {role: [] for role in places}
            yield cells
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadRecording(f"{file.name} is not a CSV file in UTF-8 ({error}); export it again") from None


def _number(cell: str, line: int, column: str) -> float:
    try:
        return np.nan if cell in MISSING else float(cell)
    except ValueError:
        raise BadRecording(
            f"line {line}: expected a number in column {column} but got {cell[:40]!r}; correct it"
        ) from None
