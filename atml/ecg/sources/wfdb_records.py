"""WFDB records (PhysioNet): `NAME.hea`, its signal files, and rhythm annotations in `NAME.atr`.

The rhythm of a whole record may also be a comment in its header, as in CPSC2021. There "(N" marks only the
end of an episode, so what precedes the first episode of a "paroxysmal" record is not annotated but N.
"""

import signal
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atml.ecg.segment import AFIB_RHYTHM
from atml.ecg.sources.recording import (
    Item,
    Reading,
    Recording,
    Signal,
    Span,
    choose_channel,
    in_millivolts,
    load_reader,
    record_name,
    rhythm_code,
    spans_between,
)
from atml.errors import BadRecording

_NONE, _ALWAYS, _AT_TIMES = (
    "non atrial fibrillation",
    "persistent atrial fibrillation",
    "paroxysmal atrial fibrillation",
)


def find(headers: Sequence[Path], top: Path, reading: Reading) -> list[Item]:
    """Return the records of these header files, without the parts of multi-segment records."""
    load_reader("wfdb", "WFDB records")
    parts = {part for header in headers for part in _parts(header)}
    return [
        Item(name=record_name(header, top), read=partial(_read, header, record_name(header, top), reading))
        for header in headers
        if header not in parts
    ]


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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # wfdb's use of pandas, about which its user can do nothing
        yield from list(_recording(header, name, reading))


def _recording(header: Path, name: str, reading: Reading) -> Iterator[Recording]:
    path = str(header.with_suffix(""))
    fields = _header(path, header)
    if fields.n_sig == 0:
        return  # annotations without a signal, such as 00735 of AFDB
    if not fields.fs or fields.fs <= 0 or not fields.sig_len:
        raise BadRecording(f"{header.name} names no sampling rate or length; fetch it again")
    names = [channel or "" for channel in fields.sig_name or ()]  # a header need not name them
    index = choose_channel(names, reading.lead)
    in_parts = reading.in_parts and not _has_differences(fields)
    record = _record(path, header, fields, index, 0, 1 if in_parts else fields.sig_len)
    factor, unit = in_millivolts(record.units[0] or "")
    signal: Signal = _File(header=header, fields=fields, index=index, factor=factor)
    if not in_parts:
        signal = np.asarray(record.p_signal[:, 0], dtype=np.float64) * factor
    seconds = fields.sig_len / fields.fs
    yield Recording(
        record=name,
        signal=signal,
        rate_hz=float(fields.fs),
        spans=_spans(path, header, reading.annotator, fields, seconds) if not reading.in_parts else (),
        channel=names[index],
        unit=unit,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _File:
    """A channel of which only the parts that are asked for are read."""

    header: Path
    fields: Any
    index: int
    factor: float  # to mV

    def __len__(self) -> int:
        return int(self.fields.sig_len)

    def __getitem__(self, part: slice, /) -> NDArray[np.float64]:
        start, end, _ = part.indices(len(self))
        path = str(self.header.with_suffix(""))
        record = _record(path, self.header, self.fields, self.index, start, end)
        return np.asarray(record.p_signal[:, 0], dtype=np.float64) * self.factor


def _has_differences(fields: Any) -> bool:
    """Whether samples are stored as differences (format 8), so that wfdb must read from the beginning."""
    parts = getattr(fields, "segments", None) or [fields]
    return any("8" in (part.fmt or ()) for part in parts if part is not None)


def _header(path: str, header: Path) -> Any:
    wfdb = load_reader("wfdb", "WFDB records")
    try:
        fields = wfdb.rdheader(path, rd_segments=True)
        if fields.sig_name is None and hasattr(fields, "segments"):  # of several segments
            fields.sig_name = fields.get_sig_name()
        return fields
    except Exception as error:  # noqa: BLE001  (a damaged header makes wfdb raise anything)
        raise BadRecording(f"{header.name} is not a WFDB header ({error}); fetch it again") from None


def _record(path: str, header: Path, fields: Any, index: int, start: int, end: int) -> Any:
    wfdb = load_reader("wfdb", "WFDB records")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # wfdb's use of pandas, about which its user can do nothing
            return wfdb.rdrecord(path, channels=[index], sampfrom=start, sampto=end)
    except FileNotFoundError as error:
        missing = Path(str(error.filename)).name
        raise BadRecording(f"its signal file {missing} is missing; fetch it again") from None
    except Exception as error:  # noqa: BLE001  (a damaged file makes wfdb raise anything)
        names = ", ".join(dict.fromkeys(getattr(fields, "file_name", None) or [f"those of {header.name}"]))
        raise BadRecording(
            f"its signal file {names} is damaged or shorter than {header.name} says ({error}); fetch it again"
        ) from None


def _spans(path: str, header: Path, annotator: str, fields: Any, seconds: float) -> tuple[Span, ...]:
    """Return the annotated rhythms, and what a comment in the header says of the rest."""
    comments = {comment.strip().lower() for comment in fields.comments or ()}
    changes = _changes(path, header, annotator, float(fields.fs))
    if _NONE in comments:
        return spans_between([(0.0, "N")], seconds)
    if _ALWAYS in comments:
        episodes = [rhythm for _, rhythm in changes if rhythm != "N"]
        return spans_between([(0.0, episodes[0] if episodes else AFIB_RHYTHM)], seconds)
    if changes:
        return spans_between([(0.0, "N"), *changes] if _AT_TIMES in comments else changes, seconds)
    raise BadRecording(
        f"no rhythm is known: neither a rhythm in {header.stem}.{annotator} nor a label in {header.name}; "
        "name another annotation file with --annotator"
    )


def _changes(path: str, header: Path, annotator: str, rate_hz: float) -> list[tuple[float, str]]:
    file = header.parent / f"{header.stem}.{annotator}"
    if not file.exists():
        return []
    wfdb = load_reader("wfdb", "WFDB records")
    try:
        with _delayed_interrupt():
            found = wfdb.rdann(path, annotator)
        notes = list(zip(found.sample, found.aux_note, strict=True))
    except Exception as error:  # noqa: BLE001  (a damaged file makes wfdb raise anything)
        raise BadRecording(f"{file.name} is not a WFDB annotation file ({error}); fetch it again") from None
    return [(int(sample) / rate_hz, rhythm_code(note)) for sample, note in notes if note.startswith("(")]


@contextmanager
def _delayed_interrupt() -> Iterator[None]:
    """Delay Ctrl-C until the block has ended, since wfdb ignores all errors while it reads a header."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    previous = signal.signal(signal.SIGINT, lambda number, _: received.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
        if received:  # even if the annotations are damaged
            signal.raise_signal(signal.SIGINT)
