"""A directory of imported segments while it is being written, and what was made."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from re import Pattern

from atml.ecg.cutting import SEGMENT_SECONDS, Cut, cut
from atml.ecg.gaps import gaps, missing_seconds
from atml.ecg.provenance import IndexedSegment
from atml.ecg.segment import AFIB_RHYTHM, SegmentName, subject_order
from atml.ecg.sources.iesd import Problem
from atml.ecg.sources.recording import Item, Recording
from atml.ecg.subjects import SUGGESTED_PATTERN, check_numbers, look_like_one_person, number, person

MOST_NAMES = 5  # in a note
NOT_POSITIVE = f"{AFIB_RHYTHM}_negative"  # file-name rhythm of AFIB when it is not the class to find


@dataclass(frozen=True, kw_only=True)
class ImportedRecord:
    """A recording and what was taken from it."""

    record: str  #: Name of the recording.
    subject: str  #: Subject in the names of its segments, such as `S12`.
    person: str  #: What the source calls the subject.
    channel: str  #: The channel that was read.
    unit: str  #: `mV`, or empty if the source's unit is not a voltage.
    rate_hz: float  #: Sampling rate of the source.
    seconds: float  #: Length.
    missing_seconds: float  #: Length of gaps and flat lines.
    segments: int  #: Number of segments made of it.


@dataclass(frozen=True, kw_only=True)
class Import:
    """Segments made of recordings."""

    directory: Path  #: Where they were written.
    format: str  #: Format of the recordings.
    segments: int  #: Number of segments.
    positive: tuple[str, ...]  #: Rhythms that are the class to find.
    positive_segments: int  #: Number of their segments.
    rhythms: dict[str, int]  #: Number of segments by rhythm, as the source names it, the most frequent first.
    records: tuple[ImportedRecord, ...]  #: The recordings.
    notes: tuple[str, ...]  #: What to check.
    skipped: tuple[Problem, ...]  #: Records left out because they are damaged or unusable.

    @property
    def subjects(self) -> dict[str, tuple[ImportedRecord, ...]]:
        """The records of each subject."""
        grouped: dict[str, list[ImportedRecord]] = {}
        for one in self.records:
            grouped.setdefault(one.subject, []).append(one)
        return {subject: tuple(grouped[subject]) for subject in sorted(grouped, key=subject_order)}


@dataclass(kw_only=True)
class Writing:
    """Writes the segments of one record after another."""

    directory: Path
    positive: tuple[str, ...]
    step_seconds: float
    pattern: Pattern[str] | None  # finds the person in a record's name
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    index: list[IndexedSegment] = field(default_factory=list)
    _subjects: Counter[str] = field(default_factory=Counter)  # segments of each
    _records: list[ImportedRecord] = field(default_factory=list)
    _names: Counter[tuple[str, str]] = field(default_factory=Counter)  # records of each person and name
    _guessed: list[str] = field(default_factory=list)  # records whose name was taken for the person's

    def add(self, item: Item) -> None:
        """Read one file and write the segments of its recordings, or note what is wrong with them."""
        before = self.seen
        for found in item.each(self._cut):
            if isinstance(found, Problem):
                self.problems.append(found)
            else:
                self._keep(*found)
        if self.seen == before:
            self.notes.append(f"{item.name}: has no signal; left out")

    @property
    def seen(self) -> int:
        """How many recordings there have been, usable or not."""
        return len(self._records) + len(self.problems)

    def _cut(self, recording: Recording) -> tuple[ImportedRecord, bool, list[Cut]]:
        """Return what is kept of a recording, whether its name was taken for the person's, and segments."""
        self.notes += [f"{recording.record}: {note}" for note in recording.notes]
        who = person(recording.record, recording.subject, self.pattern)
        found = gaps(recording)
        segments = list(cut(recording, found, step_seconds=self.step_seconds))
        self._names[who, recording.record] += 1
        count = self._names[who, recording.record]
        record = ImportedRecord(
            # Each begins at 0 s, so rows or files that share a name are recordings of their own.
            record=recording.record if count == 1 else f"{recording.record} ({count})",
            subject=f"S{number(who)}",
            person=who,
            channel=recording.channel,
            unit=recording.unit,
            rate_hz=recording.rate_hz,
            seconds=recording.seconds,
            missing_seconds=missing_seconds(recording, found),
            segments=len(segments),
        )
        return record, self.pattern is None and recording.subject is None, segments

    def _keep(self, record: ImportedRecord, guessed: bool, segments: list[Cut]) -> None:
        if record.missing_seconds > 0:
            gone = f"{record.missing_seconds:.1f} s without signal"
            self.notes.append(f"{record.record}: {gone}; no segment touches them")
        if not segments:
            self.notes.append(f"{record.record}: no {SEGMENT_SECONDS:g} s of one rhythm; left out")
        if guessed:
            self._guessed.append(record.record)
        self._records.append(record)
        for one in segments:
            self._write(record, one)

    def _write(self, record: ImportedRecord, one: Cut) -> None:
        count = self._subjects[record.subject]
        name = SegmentName(number=number(record.person), rhythm=self._named(one.rhythm), index=str(count))
        text = ("%.7g\n" * len(one.samples)) % tuple(one.samples.tolist())
        (self.directory / name.filename).write_text(text, encoding="ascii")
        self._subjects[record.subject] = count + 1
        self.index.append(
            IndexedSegment(
                file=name.filename,
                record=record.record,
                start_seconds=one.start_seconds,
                rhythm=one.rhythm,
                part=one.part,
            )
        )

    def _named(self, rhythm: str) -> str:
        """Return the rhythm of the file name: AFIB for all rhythms to find, and only for those."""
        if rhythm.upper() in {one.upper() for one in self.positive}:
            return AFIB_RHYTHM
        return NOT_POSITIVE if rhythm == AFIB_RHYTHM else rhythm

    def finish(self, out: Path, format_: str) -> Import:
        """Return what was made.

        Raises:
            DataError: two people have the same number.
        """
        check_numbers(one.person for one in self._records)
        return Import(
            directory=out,
            format=format_,
            segments=len(self.index),
            positive=self.positive,
            positive_segments=sum(self._named(one.rhythm) == AFIB_RHYTHM for one in self.index),
            rhythms=dict(Counter(one.rhythm for one in self.index).most_common()),
            records=tuple(self._records),
            notes=(*self.notes, *self._warnings()),
            skipped=tuple(self.problems),
        )

    def _warnings(self) -> list[str]:
        warnings = []
        alike = look_like_one_person(self._guessed)
        if alike:
            warnings.append(
                f"each record was taken for another person, but {', '.join(alike)} look like records of one: "
                f"if they are, import again with --subject '{SUGGESTED_PATTERN}', or one person may be both "
                "in training and in validation"
            )
        if self._guessed and len(self._guessed) < len(self._records):
            names = ", ".join(self._guessed[:MOST_NAMES]) + (", …" if len(self._guessed) > MOST_NAMES else "")
            warnings.append(f"the source does not say whose these are, so each is another person: {names}")
        there = {one.rhythm.upper() for one in self.index}
        return warnings + [
            f"no segment has the rhythm to find, {rhythm}; say with --positive which it is"
            for rhythm in self.positive
            if rhythm.upper() not in there
        ]
