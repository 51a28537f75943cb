"""Segment file names, and the subject and label they define."""

import re
from dataclasses import dataclass

from atml.errors import BadSegment

SAMPLING_RATE_HZ = 250
CLASSES = ("Normal", "AFIB")  # a label is an index into this tuple
AFIB_RHYTHM = "AFIB"

GRAMMAR = "S<subject>-<rhythm>-<index>.txt"

# ASCII only: \d would accept digits of other scripts, but S٤ is not S4.
_SUBJECT = re.compile(r"S[0-9]+")
_NAME = re.compile(r"S([0-9]+)-([A-Za-z0-9_+.]*)-([0-9]+)\.txt")


@dataclass(frozen=True, kw_only=True)
class SegmentName:
    """The three parts of a segment's file name.

    The rhythm may be empty (``S47--0.txt``: not annotated) and then counts as Normal.
    """

    number: str  # "47" or "047"; text, like the index, so that the file name can be rebuilt
    rhythm: str  # "AFIB", "N", …
    index: str  # "0"

    @classmethod
    def parse(cls, filename: str) -> "SegmentName":
        """Parse a file name.

        Raises:
            BadSegment: it does not follow the grammar, or spells AFIB differently.
        """
        match = _NAME.fullmatch(filename)
        if match is None:
            raise BadSegment(
                f"a segment's name must read {GRAMMAR}, as S47-AFIB-0.txt; rename or remove the file"
            )
        number, rhythm, index = match.groups()
        # Anything but AFIB is Normal: another spelling would silently flip the label.
        if rhythm != AFIB_RHYTHM and rhythm.upper() == AFIB_RHYTHM:
            raise BadSegment(f"rhythm must be written {AFIB_RHYTHM} but got {rhythm}; rename the file")
        return cls(number=number, rhythm=rhythm, index=index)

    @property
    def subject(self) -> str:
        """The subject's name, such as "S47", without leading zeros."""
        return canonical_subject(f"S{self.number}")

    @property
    def label(self) -> int:
        """Index into `CLASSES`: 1 for atrial fibrillation, 0 for every other rhythm."""
        return int(self.rhythm == AFIB_RHYTHM)

    @property
    def filename(self) -> str:
        """The name of the segment's file."""
        return f"S{self.number}-{self.rhythm}-{self.index}.txt"


def canonical_subject(name: str) -> str:
    """Return a subject's name without leading zeros: S4 and S04 are the same person.

    Otherwise segments of one person could be on both sides of a split.

    Raises:
        ValueError: it is not a subject's name.
    """
    if _SUBJECT.fullmatch(name) is None:
        raise ValueError(f"a subject's name must read S<number>, as S47, but got {name!r}")
    return f"S{name[1:].lstrip('0') or '0'}"


def subject_order(subject: str) -> tuple[int, str]:
    """Sort key that puts S9 before S10."""
    return int(subject[1:]), subject
