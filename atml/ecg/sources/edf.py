"""EDF and EDF+ files; the rhythms are annotations such as "AFIB" or "(N"."""

import contextlib
import ctypes
import math
import os
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atml.ecg.sources.recording import (
    RHYTHM_CODES,
    InParts,
    Reading,
    Recording,
    Span,
    choose_channel,
    in_millivolts,
    load_reader,
    rhythm_code,
    spans_between,
)
from atml.errors import BadRecording
from atml.words import listed

KNOWN = RHYTHM_CODES | {"SR", "NSR"}  # usual names of sinus rhythm
MOST_EVENTS = 5  # in a note


def read(file: Path, name: str, reading: Reading) -> Iterator[Recording]:
    """Yield the recording of a file."""
    with _open(file, with_annotations=not reading.in_parts) as opened:
        names = [label.strip() for label in opened.getSignalLabels()]
        index = choose_channel(names, reading.lead)
        factor, unit = in_millivolts(opened.getPhysicalDimension(index))
        samples = int(opened.getNSamples()[index])
        rate_hz = float(opened.getSampleFrequency(index))
        spans, notes = _rhythms(opened, samples / rate_hz, reading)
        patient = opened.getPatientCode().strip()
    signal = InParts(samples=samples, read=partial(_samples, file, index, factor))
    yield Recording(
        record=name,
        signal=signal if reading.in_parts else signal[:],
        rate_hz=rate_hz,
        spans=spans,
        channel=names[index],
        unit=unit,
        subject=patient if patient.upper() not in ("", "X") else None,  # X: unknown, in EDF+
        notes=notes,
    )


def _samples(file: Path, index: int, factor: float, start: int, end: int) -> NDArray[np.float64]:
    # Opened anew, since the library opens no file twice and leaves it to the user to close one.
    with _open(file) as opened:
        return np.asarray(opened.readSignal(index, start, end - start)) * factor


def _open(file: Path, *, with_annotations: bool = False) -> Any:
    pyedflib = load_reader("pyedflib", "EDF files")
    try:
        mode = pyedflib.READ_ALL_ANNOTATIONS if with_annotations else pyedflib.DO_NOT_READ_ANNOTATIONS
        with _without_stdout():
            return pyedflib.EdfReader(str(file), annotations_mode=mode)
    except OSError as error:  # the library's own sentence repeats the path
        reason = str(error).removeprefix(f"{file}: ").splitlines()[0]
        raise BadRecording(f"cannot be read as EDF: {reason}; export or fetch it again") from None


@contextlib.contextmanager
def _without_stdout() -> Iterator[None]:
    """Send what C code prints to standard error: the library prints on damage where answers belong."""
    buffers = ctypes.CDLL(None)
    kept = os.dup(1)
    buffers.fflush(None)
    os.dup2(2, 1)
    try:
        yield
    finally:
        buffers.fflush(None)
        os.dup2(kept, 1)
        os.close(kept)


def _rhythms(opened: Any, seconds: float, reading: Reading) -> tuple[tuple[Span, ...], tuple[str, ...]]:
    """Return annotated rhythms, as long as annotated or else until the next, and what to check.

    After one that lies within another, that one goes on.
    """
    if reading.in_parts:
        return (), ()
    annotations = zip(*opened.readAnnotations(), strict=True)  # in any order
    changes: list[tuple[float, str | None]] = []
    lasting: list[tuple[float, str]] = []  # ends and rhythms, the innermost last
    events: Counter[str] = Counter()
    known = KNOWN | {rhythm.upper() for rhythm in reading.rhythms}
    for onset, duration, text in sorted(annotations, key=lambda one: (float(one[0]), -float(one[1]))):
        # "(SBR" is a rhythm in WFDB's notation, "(artefact)" a comment.
        is_rhythm = text.startswith("(") and not text.endswith(")")
        if not is_rhythm and rhythm_code(text).upper() not in known:
            events[text] += 1  # of another kind
            continue
        changes += _ended(lasting, float(onset))
        rhythm, end = rhythm_code(text), float(onset) + float(duration)
        changes.append((float(onset), rhythm))
        lasting = [one for one in lasting if one[0] > end] + [(end, rhythm)] if duration > 0 else []
    changes += _ended(lasting, math.inf)
    if not changes:
        raise BadRecording(
            "no annotation in it is a rhythm such as AFIB or N; if its rhythms have other names, give those "
            "to find with --positive, or export annotations with the file (EDF+)"
        )
    others = listed([f"{text} ({count})" for text, count in events.most_common()], MOST_EVENTS)
    note = f"annotations that are no known rhythm, and so end none: {others}"
    return spans_between(changes, seconds), (note,) if events else ()


def _ended(lasting: list[tuple[float, str]], by_seconds: float) -> Iterator[tuple[float, str | None]]:
    """Take the rhythms that have ended from `lasting`, and yield each end and what goes on then."""
    while lasting and lasting[-1][0] <= by_seconds:
        end, _ = lasting.pop()
        yield end, lasting[-1][1] if lasting else None
