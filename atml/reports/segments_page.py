"""What a segment directory holds: counts, and examples on ECG paper as one HTML page without a network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atml.ecg import AFIB_RHYTHM, SAMPLING_RATE_HZ, SegmentName, load_dataset
from atml.ecg.provenance import IndexedSegment, place_of, read_index, read_provenance
from atml.ecg.sources.iesd import Problem, read_segment
from atml.errors import BadSegment
from atml.reports.paper import strip
from atml.service.watch import Update

NO_RHYTHM = "(none)"  # the name of an empty one


@dataclass(frozen=True, kw_only=True)
class RhythmCount:
    """The segments of one rhythm."""

    rhythm: str  #: As the source names it.
    afib: bool  #: Whether it is the class to find.
    segments: int  #: Number of segments.
    subjects: int  #: Number of subjects that have it.


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a directory of segments, or one segment, holds."""

    path: str  #: The directory or file.
    segments: int  #: Number of segments.
    subjects: int  #: Number of subjects.
    samples: int  #: Samples of a segment.
    problems: int  #: Files that cannot be used.
    rhythms: tuple[RhythmCount, ...]  #: The most frequent first.
    provenance: dict[str, Any] | None  #: `provenance.json` of imported segments; None for others.


@dataclass(frozen=True, kw_only=True, eq=False)
class Example:
    """A segment to draw."""

    group: str  # under whose heading it is shown
    caption: str
    samples: NDArray[np.float32]


def contents(path: str | Path, *, progress: Update = lambda done, total: None) -> Contents:
    """Count the segments of a directory by rhythm.

    Raises:
        NoSegments: there is no segment.
        BadSegment: the path is a file that is not a segment.
    """
    path = Path(path)
    if path.is_file():
        name, samples = _one(path)
        count = RhythmCount(rhythm=name.rhythm, afib=bool(name.label), segments=1, subjects=1)
        return Contents(
            path=str(path),
            segments=1,
            subjects=1,
            samples=len(samples),
            problems=0,
            rhythms=(count,),
            provenance=None,
        )
    dataset = load_dataset(path, skip_bad=True, progress=progress)
    indexed = _indexed(path)
    of_rhythm: dict[tuple[str, bool], list[str]] = {}
    for file, subject, label in zip(dataset.files, dataset.subjects, dataset.labels, strict=True):
        key = _rhythm(file, indexed), bool(label)
        of_rhythm.setdefault(key, []).append(str(subject))
    return Contents(
        path=str(path),
        segments=len(dataset),
        subjects=len(np.unique(dataset.subjects)),
        samples=dataset.segment_length,
        problems=dataset.skipped,
        rhythms=tuple(
            RhythmCount(rhythm=rhythm, afib=afib, segments=len(subjects), subjects=len(set(subjects)))
            for (rhythm, afib), subjects in sorted(of_rhythm.items(), key=lambda item: -len(item[1]))
        ),
        provenance=read_provenance(path),
    )


def examples(path: str | Path, count: int) -> list[Example]:
    """Return up to `count` segments of each rhythm, evenly spaced over its subjects and their time."""
    path = Path(path)
    if path.is_file():
        name, samples = _one(path)
        return [Example(group=name.rhythm or NO_RHYTHM, caption=path.name, samples=samples)]
    dataset = load_dataset(path, skip_bad=True)
    indexed = _indexed(path)
    rows: dict[str, list[int]] = {}
    for row, file in enumerate(dataset.files):
        rows.setdefault(_rhythm(file, indexed), []).append(row)
    drawn = []
    for rhythm, of_rhythm in sorted(rows.items(), key=lambda item: -len(item[1])):
        of_rhythm.sort(key=lambda row: _order(dataset.files[row]))
        places = np.linspace(0, len(of_rhythm) - 1, min(count, len(of_rhythm))).round().astype(int)
        for row in (of_rhythm[place] for place in places):
            caption = _caption(dataset.files[row], indexed)
            samples = dataset.samples(np.array([row]))[0]
            drawn.append(Example(group=rhythm or NO_RHYTHM, caption=caption, samples=samples))
    return drawn


def page(title: str, drawn: Sequence[Example], of: Contents | None = None) -> str:
    """Return an HTML page with examples at 25 mm/s and 10 mm/mV, and with the counts if they are given."""
    from atml.reports.html.page import environment  # late, since it imports PyTorch, which takes seconds

    provenance = of.provenance if of else None
    return (
        environment(html=True)
        .get_template("segments.html")
        .render(
            title=title,
            drawn=drawn,
            contents=of,
            facts=_facts(provenance) if provenance else {},
            in_millivolts=provenance and all(one["unit"] == "mV" for one in provenance.get("records", [])),
            rate_hz=SAMPLING_RATE_HZ,
            no_rhythm=NO_RHYTHM,
            strip=strip,
        )
    )


def _one(path: Path) -> tuple[SegmentName, NDArray[np.float32]]:
    name = SegmentName.parse(path.name)
    samples = read_segment(path)
    if isinstance(samples, Problem):
        raise BadSegment(str(samples))
    return name, samples


def _indexed(path: Path) -> dict[tuple[str, str], IndexedSegment]:
    return {place_of(one.file): one for one in read_index(path)}


def _rhythm(file: str, indexed: dict[tuple[str, str], IndexedSegment]) -> str:
    one = indexed.get(place_of(file))
    # Of a segment whose label somebody has corrected, the name says more than the index.
    return one.rhythm if one is not None and one.file == file else SegmentName.parse(file).rhythm


def _order(file: str) -> tuple[int, int]:
    name = SegmentName.parse(file)
    return int(name.number), int(name.index)


def _caption(file: str, indexed: dict[tuple[str, str], IndexedSegment]) -> str:
    one = indexed.get(place_of(file))
    return file if one is None else f"{file}, {one.record} from {_clock(one.start_seconds)}"


def _clock(seconds: float) -> str:
    tenths = round(10 * seconds)
    return f"{tenths // 36_000}:{tenths % 36_000 // 600:02}:{tenths % 600 / 10:04.1f}"


def _facts(document: Mapping[str, Any]) -> dict[str, str | None]:
    """Return what `provenance.json` says."""
    channels = {f"{one['channel']} at {one['rate_hz']:g} Hz" for one in document.get("records", [])}
    return {
        "origin": document.get("origin"),
        "licence": document.get("licence"),
        "recorded": ", ".join(sorted(channels)),
        "filter": document.get("filter"),
        "class to find": ", ".join(document.get("positive_rhythms", [AFIB_RHYTHM])),
    }
