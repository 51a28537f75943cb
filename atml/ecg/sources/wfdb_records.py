"""WFDB records (PhysioNet): `NAME.hea`, its signal files, and rhythm annotations in `NAME.atr`.

The rhythm of a whole record may also be a comment in its header, as in CPSC2021. There "(N" marks only the
end of an episode, so what precedes the first episode of a "paroxysmal" record is not annotated but N.
"""

import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atml.ecg.segment import AFIB_RHYTHM
from atml.ecg.sources.recording import (
    InParts,
    Item,
    Reading,
    Recording,
    Span,
    choose_channel,
    file_items,
    in_millivolts,
    load_reader,
    rhythm_code,
    spans_between,
)
from atml.errors import BadRecording
from atml.interrupts import interrupted_at_the_end

_ST_AND_T = ("s", "T")  # symbols of notes on the ST segment and the T wave, such as "(ST1+"
_NONE, _ALWAYS, _AT_TIMES = (
    "non atrial fibrillation",
    "persistent atrial fibrillation",
    "paroxysmal atrial fibrillation",
)


def find(headers: Sequence[Path], top: Path, reading: Reading) -> list[Item]:
    """Return the records of these header files, without the parts of multi-segment records."""
    parts = {part for header in headers for part in _parts(header)}
    return file_items([header for header in headers if header not in parts], top, reading, _read)


def _parts(header: Path) -> Iterator[Path]:
    """Yield the headers of a multi-segment record's parts (``NAME/SEGMENTS`` in its first line)."""
    try:
        with header.open(encoding="utf-8", errors="replace") as file:
            lines = [line.split() for line in file if line.strip() and not line.startswith("#")]
    except OSError:  # reported when it is read
        return
    if lines and "/" in lines[0][0]:
        yield from (header.parent / f"{words[0]}.hea" for words in lines[1:] if words[0] != "~")


def _read(header: Path, name: str, reading: Reading) -> Iterator[Recording]:
    with warnings.catch_warnings(action="ignore"):  # wfdb's use of pandas, which its user cannot change
        yield from list(_recording(header, name, reading))


def _recording(header: Path, name: str, reading: Reading) -> Iterator[Recording]:
    fields = _header(header)
    if fields.n_sig == 0:
        return  # annotations without a signal, such as 00735 of AFDB
    if not fields.fs or fields.fs <= 0 or not fields.sig_len:
        raise BadRecording(f"{header.name} names no sampling rate or length; fetch it again")
    names = [channel or "" for channel in fields.sig_name or ()]  # a header need not name them
    index = choose_channel(names, reading.lead)
    if getattr(fields, "layout", "") == "fixed" and any(part is None for part in fields.segments):
        raise BadRecording(f"{header.name} has gaps but no layout segment; add one, as wfdb needs it")
    try:
        factor, unit = _unit(fields, index)
        # Samples of this channel in a frame; other channels may have fewer.
        per_frame = int(_segments(fields)[0].samps_per_frame[index])
    except (IndexError, TypeError):
        raise BadRecording(f"the headers of its segments differ from {header.name}; fetch it again") from None
    read = partial(_samples, header, fields, index, per_frame, factor)
    signal = InParts(samples=int(fields.sig_len) * per_frame, read=read)
    seconds = fields.sig_len / fields.fs
    yield Recording(
        record=name,
        signal=signal if reading.in_parts and not _has_differences(fields) else signal[:],
        rate_hz=float(fields.fs) * per_frame,
        spans=_spans(header, reading.annotator, fields, seconds) if not reading.in_parts else (),
        channel=names[index],
        unit=unit,
    )


def _samples(
    header: Path, fields: Any, index: int, per_frame: int, factor: float, start: int, end: int
) -> NDArray[np.float64]:
    first, last = start // per_frame, -(-end // per_frame)  # frames
    record = _record(header, fields, index, first, last)
    skipped = first * per_frame
    return np.asarray(record.e_p_signal[0][start - skipped : end - skipped], np.float64) * factor


def _segments(fields: Any) -> list[Any]:
    """Return the headers of a record's segments, `None` for gaps; a plain record is one segment."""
    return getattr(fields, "segments", None) or [fields]


def _has_differences(fields: Any) -> bool:
    """Whether samples are stored as differences (format 8), so that wfdb must read from the beginning."""
    return any("8" in (part.fmt or ()) for part in _segments(fields) if part is not None)


def _unit(fields: Any, index: int) -> tuple[float, str]:
    """Return the factor that makes mV of a channel, and its unit, which gaps and layouts do not have.

    Raises:
        BadRecording: it has several units.
    """
    units = set()
    for part in _segments(fields):
        if part is None or part.sig_len == 0:
            continue
        if getattr(fields, "layout", "") != "variable":
            units.add(in_millivolts(part.units[index]))
        elif fields.sig_name[index] in part.sig_name:
            units.add(in_millivolts(part.units[part.sig_name.index(fields.sig_name[index])]))
    if len(units) > 1:
        raise BadRecording("its segments have different units; write it again in one unit")
    return units.pop() if units else (1.0, "")


def _header(header: Path) -> Any:
    wfdb = load_reader("wfdb", "WFDB records")
    try:
        fields = wfdb.rdheader(str(header.with_suffix("")), rd_segments=True)
        if fields.sig_name is None and hasattr(fields, "segments"):  # of several segments
            fields.sig_name = fields.get_sig_name()
        return fields
    except Exception as error:  # noqa: BLE001  (a damaged header makes wfdb raise anything)
        raise BadRecording(f"{header.name} is not a WFDB header ({error}); fetch it again") from None


def _record(header: Path, fields: Any, index: int, start: int, end: int) -> Any:
    wfdb = load_reader("wfdb", "WFDB records")
    try:
        with warnings.catch_warnings(action="ignore"):
            return wfdb.rdrecord(
                str(header.with_suffix("")), channels=[index], sampfrom=start, sampto=end, smooth_frames=False
            )
    except FileNotFoundError as error:
        missing = Path(str(error.filename)).name
        raise BadRecording(f"its signal file {missing} is missing; fetch it again") from None
    except Exception as error:  # noqa: BLE001  (a damaged file makes wfdb raise anything)
        names = ", ".join(dict.fromkeys(getattr(fields, "file_name", None) or [f"those of {header.name}"]))
        raise BadRecording(
            f"its signal file {names} is damaged or shorter than {header.name} says ({error}); fetch it again"
        ) from None


def _spans(header: Path, annotator: str, fields: Any, seconds: float) -> tuple[Span, ...]:
    """Return the annotated rhythms, and what a comment in the header says of the rest."""
    comments = {comment.strip().lower() for comment in fields.comments or ()}
    changes = _changes(header, annotator, fields)
    if _NONE in comments:
        return spans_between([(0.0, "N")], seconds)
    if _ALWAYS in comments:
        episodes = [rhythm for _, rhythm in changes if rhythm not in ("", "N")]
        return spans_between([(0.0, episodes[0] if episodes else AFIB_RHYTHM)], seconds)
    if changes:
        return spans_between([(0.0, "N"), *changes] if _AT_TIMES in comments else changes, seconds)
    raise BadRecording(
        f"no rhythm is known: neither a rhythm in {header.stem}.{annotator} nor a label in {header.name}; "
        "name another annotation file with --annotator"
    )


def _changes(header: Path, annotator: str, fields: Any) -> list[tuple[float, str]]:
    file = header.parent / f"{header.stem}.{annotator}"
    if not file.exists():
        return []
    wfdb = load_reader("wfdb", "WFDB records")
    try:
        with interrupted_at_the_end():  # it ignores whatever is raised while it reads the header
            found = wfdb.rdann(str(header.with_suffix("")), annotator)
        notes = list(zip(found.sample, found.symbol, found.aux_note, strict=True))
    except Exception as error:  # noqa: BLE001  (a damaged file makes wfdb raise anything)
        raise BadRecording(f"{file.name} is not a WFDB annotation file ({error}); fetch it again") from None
    rate_hz = float(found.fs or fields.fs)  # a file of annotations may have a resolution of its own
    return [
        (int(sample) / rate_hz, rhythm_code(note))
        for sample, symbol, note in notes
        if note.startswith("(") and symbol not in _ST_AND_T
    ]
