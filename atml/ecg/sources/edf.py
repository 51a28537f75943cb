"""EDF and EDF+ files; the rhythms are annotations such as "AFIB" or "(N"."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from atml.ecg.sources.recording import (
    RHYTHM_CODES,
    Item,
    Reading,
    Recording,
    Span,
    choose_channel,
    in_millivolts,
    load_reader,
    record_name,
    rhythm_code,
    spans_between,
)
from atml.errors import BadRecording


def find(files: Sequence[Path], top: Path, reading: Reading) -> list[Item]:
    """Return one item for each file."""
    load_reader("pyedflib", "EDF files")
    return [
        Item(name=record_name(file, top), read=partial(_read, file, record_name(file, top), reading))
        for file in files
    ]


def _read(file: Path, name: str, reading: Reading) -> Iterator[Recording]:
    pyedflib = load_reader("pyedflib", "EDF files")
    try:
        opened = pyedflib.EdfReader(str(file))
    except OSError as error:  # the library's own sentence repeats the path
        reason = str(error).removeprefix(f"{file}: ").splitlines()[0]
        raise BadRecording(f"cannot be read as EDF: {reason}; export or fetch it again") from None
    with opened:
        names = [label.strip() for label in opened.getSignalLabels()]
        index = choose_channel(names, reading.lead)
        signal, unit = in_millivolts(
            np.asarray(opened.readSignal(index), dtype=np.float64), opened.getPhysicalDimension(index)
        )
        rate_hz = float(opened.getSampleFrequency(index))
        spans = _spans(opened, len(signal) / rate_hz, reading.rhythms)
        patient = opened.getPatientCode().strip()
    yield Recording(
        record=name,
        signal=signal,
        rate_hz=rate_hz,
        spans=spans,
        channel=names[index],
        unit=unit,
        subject=patient if patient.upper() not in ("", "X") else None,  # X: unknown, in EDF+
    )


def _spans(opened: Any, seconds: float, rhythms: frozenset[str]) -> tuple[Span, ...]:
    """Return annotated rhythms: as long as annotated, or until the next if no duration is given."""
    onsets, durations, texts = opened.readAnnotations()
    changes: list[tuple[float, str | None]] = []
    known = RHYTHM_CODES | {rhythm.upper() for rhythm in rhythms}
    for onset, duration, text in zip(onsets, durations, texts, strict=True):
        if not text.startswith("(") and rhythm_code(text).upper() not in known:
            continue  # an event of another kind
        if changes and changes[-1][1] is None and changes[-1][0] > onset:
            changes.pop()  # the next rhythm begins before the last one's stated end
        changes.append((float(onset), rhythm_code(text)))
        if duration > 0:
            changes.append((float(onset) + float(duration), None))
    if not changes:
        raise BadRecording(
            "no annotation in it is a rhythm such as AFIB or N; if its rhythms have other names, give those "
            "to find with --positive, or export annotations with the file (EDF+)"
        )
    return spans_between(changes, seconds)
