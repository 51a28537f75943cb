"""Segment directories of another length or sampling rate."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from atml.ecg.provenance import read_index
from atml.ecg.segment import SegmentName
from atml.ecg.sources.iesd import Problem, read_segment
from atml.ecg.sources.recording import Item, Reading, Recording, Span, checked_rate
from atml.errors import BadRecording, BadSegment, DataError


def find(files: Sequence[Path], top: Path, reading: Reading) -> list[Item]:
    """Return one item for each segment.

    Raises:
        DataError: the sampling rate is not given.
    """
    if reading.rate_hz is None:
        raise DataError(f"{top} holds segments in text files; give their sampling rate with --rate HZ")
    # In an imported directory, file names say AFIB for all rhythms that were to be found.
    rhythms = {one.file: one.rhythm for one in read_index(top if top.is_dir() else top.parent)}
    return [
        Item(name=file.name, read=partial(_read, file, reading.rate_hz, rhythms.get(file.name)))
        for file in files
    ]


def _read(file: Path, rate_hz: float, rhythm: str | None) -> Iterator[Recording]:
    rate_hz = checked_rate(rate_hz)
    try:
        name = SegmentName.parse(file.name)
    except BadSegment as error:
        raise BadRecording(str(error)) from None
    samples = read_segment(file)
    if isinstance(samples, Problem):
        line = "" if samples.line is None else f"line {samples.line}: "
        raise BadRecording(f"{line}{samples.text}")
    yield Recording(
        record=file.stem,
        signal=np.asarray(samples, dtype=np.float64),
        rate_hz=rate_hz,
        # An empty rhythm is kept: in a segment directory it means that nobody has annotated it.
        spans=(
            Span(
                rhythm=name.rhythm if rhythm is None else rhythm,
                start_seconds=0.0,
                end_seconds=len(samples) / rate_hz,
            ),
        ),
        subject=name.subject.removeprefix("S"),
    )
