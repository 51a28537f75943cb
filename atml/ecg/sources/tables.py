"""Tables: a row for each sample, or a row for each recording whose signal is a list or a row of a matrix.

`--columns` says which column holds what. CSV, NPZ and Parquet readers bring columns; this module makes
recordings of them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atml.ecg.sources.recording import Reading, Recording, checked_rate, rhythm_code, spans_between
from atml.errors import BadRecording, DataError

ROLES = ("signal", "rhythm", "subject", "record", "time", "rate")
Columns = Mapping[str, Any]  # role → array [rows], matrix [rows, samples], list of arrays, or one value


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
    """Yield the recordings of one file.

    Raises:
        BadRecording: columns differ in length, or the sampling rate is unknown.
    """
    signal = columns["signal"]
    rows = len(signal)
    if rows == 0:
        raise BadRecording("has no rows; export it again")
    for role, column in columns.items():
        if _is_per_row(column) and len(column) != rows:
            raise BadRecording(f"{role} has {len(column)} values for {rows} of the signal")
    if np.ndim(signal[0]) == 1:
        yield from _one_a_row(name, columns, reading, rows)
    else:
        yield from _samples_in_rows(name, columns, reading, rows)


def _one_a_row(name: str, columns: Columns, reading: Reading, rows: int) -> Iterator[Recording]:
    for row in range(rows):
        signal = np.asarray(columns["signal"][row], dtype=np.float64)
        rate_hz = _rate(columns, reading, row)
        rhythm = _text(columns, "rhythm", row)
        yield Recording(
            record=_text(columns, "record", row) or f"{name}:{row}",
            signal=signal,
            rate_hz=rate_hz,
            spans=spans_between([(0.0, rhythm_code(rhythm) if rhythm else None)], len(signal) / rate_hz),
            channel=reading.columns["signal"],
            subject=_text(columns, "subject", row),
        )


def _samples_in_rows(name: str, columns: Columns, reading: Reading, rows: int) -> Iterator[Recording]:
    starts = _changes([columns.get("subject"), columns.get("record")], rows)
    for start, end in zip(starts, [*starts[1:], rows], strict=True):
        signal = np.asarray(columns["signal"][start:end], dtype=np.float64)
        places = np.arange(end - start)
        rate_hz = _rate(columns, reading, start, end)
        if "time" in columns:
            signal, places = _at_their_times(signal, columns["time"][start:end], rate_hz)
        changes = []
        for row in _changes([columns.get("rhythm")], rows, start, end):
            rhythm = _text(columns, "rhythm", row)
            changes.append((places[row - start] / rate_hz, rhythm_code(rhythm) if rhythm else None))
        record = _text(columns, "record", start) or name
        yield Recording(
            record=record if len(starts) == 1 or "record" in columns else f"{name}:{start}",
            signal=signal,
            rate_hz=rate_hz,
            spans=spans_between(changes, len(signal) / rate_hz),
            channel=reading.columns["signal"],
            subject=_text(columns, "subject", start),
        )


def _changes(columns: list[Any], rows: int, start: int = 0, end: int | None = None) -> list[int]:
    """Return the rows at which a column changes its value, with the first row."""
    end = rows if end is None else end
    changed = np.zeros(max(0, end - start), dtype=bool)
    changed[:1] = True
    for column in columns:
        if _is_per_row(column):
            values = np.array([_as_text(value) for value in column[start:end]])
            changed[1:] |= values[1:] != values[:-1]
    return [start + int(row) for row in np.flatnonzero(changed)]


def _at_their_times(
    signal: NDArray[np.float64], time: Any, rate_hz: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the signal with NaN where samples are missing, and the place of each sample in it."""
    seconds = np.asarray(time, dtype=np.float64)
    if not np.all(np.diff(seconds) > 0):
        raise BadRecording("the times do not increase; sort the rows by time")
    places = np.rint((seconds - seconds[0]) * rate_hz).astype(np.int64)
    whole = np.full(places[-1] + 1, np.nan)
    whole[places] = signal
    return whole, places


def _rate(columns: Columns, reading: Reading, row: int, end: int | None = None) -> float:
    if reading.rate_hz is not None:
        return checked_rate(reading.rate_hz)
    if "rate" in columns:
        rate = columns["rate"]
        return checked_rate(float(rate[row] if _is_per_row(rate) else rate))
    if "time" in columns and end is not None and end - row > 1:
        # Rounded times such as 0.004, 0.008, 0.012 have the right mean but not the right median.
        steps = np.diff(np.asarray(columns["time"][row:end], dtype=np.float64))
        usual = steps[steps < 1.5 * np.median(steps)]
        if len(usual) and usual.mean() > 0:
            return checked_rate(float(1 / usual.mean()))
    raise BadRecording("the sampling rate is unknown; give --rate HZ, or a column with time=… or rate=…")


def _text(columns: Columns, role: str, row: int) -> str | None:
    column = columns.get(role)
    if column is None:
        return None
    return _as_text(column[row] if _is_per_row(column) else column) or None


def _is_per_row(column: Any) -> bool:
    """Whether a column has a value for each row, rather than one for the whole file."""
    return isinstance(column, list) or (isinstance(column, np.ndarray) and column.ndim > 0)


def _as_text(value: Any) -> str:
    """Return a label as text: 1.0 as "1", a missing one as ""."""
    value = value.item() if isinstance(value, np.generic | np.ndarray) else value
    if value is None or value != value:  # NaN
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)).strip()
