"""Tables: a row for each sample, or a row for each recording whose signal is a list or a row of a matrix.

`--columns` says which column holds what. CSV, NPZ and Parquet readers bring columns; this module makes
recordings of them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atml.ecg.sources.columns import LABELS, Labels, as_numbers, gathered
from atml.ecg.sources.iesd import Problem
from atml.ecg.sources.recording import (
    InParts,
    Reading,
    Recording,
    Signal,
    checked_rate,
    rhythm_code,
    spans_between,
)
from atml.errors import BadRecording, DataError

ROLES = ("signal", "rhythm", "subject", "record", "time", "rate")
Columns = dict[str, Any]  # role → array, or Labels
LONGEST_SECONDS = 366 * 86_400.0  # of a recording whose times are given
RATES_DIFFER = 0.02  # by more than that, a rate is not the one of its times
_NO_RATE = "the sampling rate is unknown; give --rate HZ, or a column with time=… or rate=…"
_NO_LABELS: Columns = {role: Labels([""]) for role in LABELS}  # of a table that has none


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


def check_header(header: Sequence[str], reading: Reading) -> None:
    """Raise BadRecording unless a table has each column that is asked for once."""
    for column in reading.columns.values():
        if column not in header:
            raise BadRecording(f"has no column {column}, but {', '.join(header) or 'none'}; see --columns")
        if header.count(column) > 1:
            raise BadRecording(f"has {header.count(column)} columns {column}; rename them")


def recordings(name: str, columns: Columns, reading: Reading) -> Iterator[Recording | Problem]:
    """Yield the recordings of one file whose rows are samples, or what is wrong with one.

    Raises:
        BadRecording: there are no rows, or the sampling rate is unknown.
    """
    rows = len(columns["signal"])
    _check_rows(rows, reading)
    columns = _NO_LABELS | columns
    starts = sorted({*columns["subject"].starts, *columns["record"].starts})
    for start, end in zip(starts, [*starts[1:], rows], strict=True):
        own = {role: column[start:end] for role, column in columns.items()}
        record = own["record"].texts[0] or ("" if len(starts) == 1 else str(start))
        yield _recording_or_problem(f"{name}:{record}" if record else name, own, reading)


def recordings_of_rows(
    name: str, rows: int, parts: Iterable[Mapping[str, Any]], reading: Reading
) -> Iterator[Recording | Problem]:
    """Yield the recordings of one file each of whose rows is one: `parts` are the columns of one row each.

    Raises:
        BadRecording: there are no rows, or the sampling rate is unknown.
    """
    _check_rows(rows, reading)
    for row, part in enumerate(parts):
        own = _NO_LABELS | gathered(reading.columns.keys() - {"signal", "time"}, [part])
        own["signal"] = part["signal"][0]
        yield _recording_or_problem(f"{name}:{own['record'].texts[0] or row}", own, reading)


def _check_rows(rows: int, reading: Reading) -> None:
    if rows == 0:
        raise BadRecording("has no rows; export it again")
    if reading.rate_hz is None and "rate" not in reading.columns and "time" not in reading.columns:
        raise BadRecording(_NO_RATE)


def _recording_or_problem(record: str, columns: Columns, reading: Reading) -> Recording | Problem:
    try:
        return _recording(record, columns, reading)
    except BadRecording as error:
        return Problem(file=record, text=str(error))


def _recording(record: str, columns: Columns, reading: Reading) -> Recording:
    if "time" in columns:
        _check_times(columns["time"])
    rate_hz = _rate(columns, reading)
    signal: Signal = as_numbers(columns["signal"])
    rhythms = columns["rhythm"]
    starts = np.array(rhythms.starts)  # in samples
    if "time" in columns:
        places = _places(columns["time"], rate_hz)
        # Read in parts, so that a pause of days takes no memory.
        signal = InParts(samples=int(places[-1]) + 1, read=partial(_at_places, columns["signal"], places))
        starts = places[starts]
    changes = zip((starts / rate_hz).tolist(), map(rhythm_code, rhythms.texts), strict=True)
    return Recording(
        record=record,
        signal=signal,
        rate_hz=rate_hz,
        spans=spans_between(changes, len(signal) / rate_hz),
        channel=reading.columns["signal"],
        subject=columns["subject"].texts[0] or None,
    )


def _at_places(
    values: NDArray[np.float64], places: NDArray[np.int64], start: int, end: int
) -> NDArray[np.float64]:
    """Return samples of which `values` are those at `places`, in order, and all others are missing."""
    first, last = np.searchsorted(places, (start, end))
    samples = np.full(max(0, end - start), np.nan)
    samples[places[first:last] - start] = values[first:last]
    return samples


def _check_times(time: NDArray[np.float64]) -> None:
    """Raise BadRecording unless times increase and are in seconds."""
    seconds = float(time[-1] - time[0])
    if not (np.isfinite(seconds) and np.all(np.diff(time) > 0)):
        raise BadRecording(
            "its times are missing, repeat or decrease; sort the rows by time, give them more decimals, "
            "say with record=… which rows belong together, or give --rate HZ instead of time=…"
        )
    if seconds > LONGEST_SECONDS:
        raise BadRecording(f"the times span {seconds / 86_400:,.0f} days; give them in seconds")


def _places(time: NDArray[np.float64], rate_hz: float) -> NDArray[np.int64]:
    """Return the sample that each row is, counted on from the row before.

    Counted from the beginning, rows after a pause that lasts half a sample more would be rounded in pairs.

    Raises:
        BadRecording: the times are not those of the rate.
    """
    found_hz = _rate_of(time)
    if found_hz is not None and abs(found_hz / rate_hz - 1) > RATES_DIFFER:
        raise BadRecording(
            f"its times are those of {found_hz:g} Hz but its rate is {rate_hz:g} Hz; correct one"
        )
    steps = np.maximum(1, np.rint(np.diff(time) * rate_hz))
    return np.concatenate([[0], np.cumsum(steps)]).astype(np.int64)


def _rate(columns: Columns, reading: Reading) -> float:
    if reading.rate_hz is not None:
        return checked_rate(reading.rate_hz)
    if "rate" in columns:
        values = columns["rate"]
        stated = np.unique(values[~np.isnan(values)]).tolist()  # may be stated in the first row alone
        if len(stated) > 1:
            raise BadRecording("its rate changes; say with record=… which rows belong together")
        return checked_rate(*stated or [np.nan])
    if "time" not in columns:
        raise BadRecording(_NO_RATE)
    found_hz = _rate_of(columns["time"])
    if found_hz is None:
        raise BadRecording("has one row only, whose time tells no rate; give --rate HZ, or leave it out")
    return checked_rate(found_hz)


def _rate_of(time: NDArray[np.float64]) -> float | None:
    """Return the sampling rate that times are of, a whole number if it may be; None of a single sample."""
    if len(time) < 2:
        return None
    steps = np.diff(time)
    # Rounded times such as 0.004, 0.008, 0.012 have the right mean but not the right median.
    usual = steps[steps < 1.5 * np.median(steps)]
    seconds = float(usual.sum())
    rate_hz = len(usual) / seconds
    # 5 s at 256 Hz end at 4.996 s in milliseconds, which is 4.9988 s at 256.02 Hz: too short for a segment.
    return float(round(rate_hz)) if abs(rate_hz - round(rate_hz)) * seconds < 1 else rate_hz
