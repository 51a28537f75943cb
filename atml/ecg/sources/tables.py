"""Tables: a row for each sample, or a row for each recording whose signal is a list or a row of a matrix.

`--columns` says which column holds what. CSV, NPZ and Parquet readers bring columns; this module makes
recordings of them.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atml.ecg.sources.recording import Reading, Recording, Signal, checked_rate, rhythm_code, spans_between
from atml.errors import BadRecording, DataError

ROLES = ("signal", "rhythm", "subject", "record", "time", "rate")
Columns = Mapping[str, Any]  # role → Signal, Labels, matrix [rows, samples], list of arrays, or one value
LONGEST_SECONDS = 366 * 86_400.0  # of a recording whose times are given
_PART_ROWS = 1 << 20  # of times that are looked at together


def check_columns(reading: Reading) -> None:
    """Refuse unknown roles, and tables without a signal or a rhythm that is needed.

    Raises:
        DataError: says which roles there are.
    """
    columns = reading.columns
    unknown = [role for role in columns if role not in ROLES]
    if unknown:
        raise DataError(f"--columns: {unknown[0]} is not one of {', '.join(ROLES)}")
    needed = ("signal",) if reading.in_parts else ("signal", "rhythm")
    missing = [role for role in needed if role not in columns]
    if missing:
        raise DataError(
            f"tables need --columns to say which column holds the {' and the '.join(missing)}, "
            "as in --columns signal=ecg,rhythm=label,subject=patient"
        )


def recordings(name: str, columns: Columns, reading: Reading) -> Iterator[Recording]:
    """Yield the recordings of one file whose rows are samples.

    Raises:
        BadRecording: there are no rows, columns differ in length, or the sampling rate is unknown.
    """
    rows = _rows(columns)
    starts = sorted({row for role in ("subject", "record") for row in _changes(columns, role, 0, rows)})
    for start, end in zip(starts, [*starts[1:], rows], strict=True):
        rate_hz = _rate(columns, reading, start, end)
        signal = (
            _timed(columns["signal"], columns["time"], start, end, rate_hz)
            if "time" in columns
            else _Rows(column=columns["signal"], start=start, end=end)
        )
        changes = []
        for row in _changes(columns, "rhythm", start, end):
            rhythm = _text(columns, "rhythm", row)
            changes.append((signal.place(row) / rate_hz, rhythm_code(rhythm) if rhythm else None))
        record = _text(columns, "record", start) or name
        yield Recording(
            record=record if len(starts) == 1 or "record" in columns else f"{name}:{start}",
            signal=signal if reading.in_parts else signal[:],
            rate_hz=rate_hz,
            spans=spans_between(changes, len(signal) / rate_hz),
            channel=reading.columns["signal"],
            subject=_text(columns, "subject", start),
        )


def recordings_of_rows(
    name: str, columns: Columns, reading: Reading, *, before: int = 0
) -> Iterator[Recording]:
    """Yield the recordings of a file, or of the part of it after `before` rows, each of whose rows is one.

    Raises:
        BadRecording: there are no rows, columns differ in length, or the sampling rate is unknown.
    """
    for row in range(_rows(columns)):
        signal = np.asarray(columns["signal"][row], dtype=np.float64)
        rate_hz = _rate(columns, reading, row)
        rhythm = _text(columns, "rhythm", row)
        yield Recording(
            record=_text(columns, "record", row) or f"{name}:{before + row}",
            signal=signal,
            rate_hz=rate_hz,
            spans=spans_between([(0.0, rhythm_code(rhythm) if rhythm else None)], len(signal) / rate_hz),
            channel=reading.columns["signal"],
            subject=_text(columns, "subject", row),
        )


def _rows(columns: Columns) -> int:
    rows = len(columns["signal"])
    if rows == 0:
        raise BadRecording("has no rows; export it again")
    return rows


def _changes(columns: Columns, role: str, start: int, end: int) -> Iterator[int]:
    """Yield the first row and those at which a column changes its text."""
    column = columns.get(role)
    return iter([start]) if column is None else column.changes(start, end)


def _text(columns: Columns, role: str, row: int) -> str | None:
    column = columns.get(role)
    return None if column is None else column.at(row) or None


@dataclass(frozen=True, kw_only=True, eq=False)
class _Rows:
    """Consecutive rows of a column, each a sample."""

    column: Signal
    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start

    def __getitem__(self, part: slice, /) -> NDArray[np.float64]:
        start, end, _ = part.indices(len(self))
        return np.asarray(self.column[self.start + start : self.start + end], dtype=np.float64)

    def place(self, row: int) -> int:
        """Return the sample that a row of the table is."""
        return row - self.start


@dataclass(frozen=True, kw_only=True, eq=False)
class _TimedRows(_Rows):
    """Consecutive rows of a column, each a sample at its time, with NaN where samples are missing."""

    time: Signal  # increases
    rate_hz: float

    def __len__(self) -> int:
        return self.place(self.end - 1) + 1

    def __getitem__(self, part: slice, /) -> NDArray[np.float64]:
        start, end, _ = part.indices(len(self))
        rows = range(self.start, self.end)
        first, last = (self.start + bisect_left(rows, place, key=self.place) for place in (start, end))
        samples = np.full(max(0, end - start), np.nan)
        samples[self._places(first, last) - start] = self.column[first:last]
        return samples

    def place(self, row: int) -> int:
        """Return the sample that a row of the table is."""
        return int(self._places(row, row + 1)[0])

    def _places(self, first: int, last: int) -> NDArray[np.int64]:
        seconds = self.time[first:last] - self.time[self.start : self.start + 1]
        return np.rint(seconds * self.rate_hz).astype(np.int64)


def _timed(column: Signal, time: Signal, start: int, end: int, rate_hz: float) -> _TimedRows:
    seconds = float(time[end - 1 : end][0] - time[start : start + 1][0])
    if not (np.isfinite(seconds) and all(np.all(steps > 0) for steps in _steps(time, start, end))):
        raise BadRecording("the times do not increase; sort the rows by time")
    if seconds > LONGEST_SECONDS:
        raise BadRecording(f"the times span {seconds / 86_400:,.0f} days; give them in seconds")
    return _TimedRows(column=column, start=start, end=end, time=time, rate_hz=rate_hz)


def _steps(time: Signal, start: int, end: int) -> Iterator[NDArray[np.float64]]:
    """Yield the distances of consecutive times, many together."""
    for first in range(start, end - 1, _PART_ROWS):
        yield np.diff(time[first : min(first + _PART_ROWS + 1, end)])


def _rate(columns: Columns, reading: Reading, row: int, end: int | None = None) -> float:
    if reading.rate_hz is not None:
        return checked_rate(reading.rate_hz)
    if "rate" in columns:
        rate = columns["rate"]
        return checked_rate(rate if isinstance(rate, float) else float(rate[row : row + 1][0]))
    if "time" in columns and end is not None and end - row > 1:
        # Rounded times such as 0.004, 0.008, 0.012 have the right mean but not the right median.
        longest = 1.5 * np.median(next(_steps(columns["time"], row, end)))
        seconds, count = 0.0, 0
        for steps in _steps(columns["time"], row, end):
            usual = steps[steps < longest]
            seconds, count = seconds + float(usual.sum()), count + len(usual)
        if seconds > 0:
            return checked_rate(count / seconds)
    raise BadRecording("the sampling rate is unknown; give --rate HZ, or a column with time=… or rate=…")
