"""What a segment is called, and what follows from its name."""

import re
from dataclasses import dataclass

from atml.errors import BadSegment

SAMPLING_RATE_HZ = 250
CLASSES = ("Normal", "AFIB")  # a label is a position in this tuple
AFIB_RHYTHM = "AFIB"

GRAMMAR = "S<subject>-<rhythm>-<index>.txt"

# ASCII only: \d would accept digits of other scripts, and S٤ is not S4.
_SUBJECT = re.compile(r"S[0-9]+")
_NAME = re.compile(r"S([0-9]+)-([A-Za-z0-9_+.]*)-([0-9]+)\.txt")


@dataclass(frozen=True, kw_only=True)
class SegmentName:
    """The three parts of a segment's file name.

    The rhythm may be empty (``S47--0.txt``: not annotated) and then counts as Normal.
    """

    number: str  # "47" or "047"; kept as text, as is the index, so that the file name can be put together
    rhythm: str  # "AFIB", "N", …
    index: str  # "0"

    @classmethod
    def parse(cls, filename: str) -> "SegmentName":
        """Take a file name apart.

        Raises:
            BadSegment: it does not follow the grammar, or writes AFIB in another way.
        """
        match = _NAME.fullmatch(filename)
        if match is None:
            raise BadSegment(
                f"a segment's name must read {GRAMMAR}, as S47-AFIB-0.txt; rename or remove the file"
            )
        number, rhythm, index = match.groups()
        # Anything but AFIB is Normal: another spelling would silently turn the label round.
        if rhythm != AFIB_RHYTHM and rhythm.upper() == AFIB_RHYTHM:
            raise BadSegment(f"rhythm must be written {AFIB_RHYTHM} but got {rhythm}; rename the file")
        return cls(number=number, rhythm=rhythm, index=index)

    @property
    def subject(self) -> str:
        """The subject's name, "S47", however the file writes the number."""
        return canonical_subject(f"S{self.number}")

    @property
    def label(self) -> int:
        """Position in `CLASSES`: 1 for atrial fibrillation, 0 for every other rhythm."""
        return int(self.rhythm == AFIB_RHYTHM)

    @property
    def filename(self) -> str:
        """The name of the segment's file."""
        return f"S{self.number}-{self.rhythm}-{self.index}.txt"


def canonical_subject(name: str) -> str:
    """Return a subject's name without leading zeros: S4 and S04 are one person.

    Were they two, segments of one person could be on both sides of a split.

    Raises:
        ValueError: it is no subject's name.
    """
    if _SUBJECT.fullmatch(name) is None:
        raise ValueError(f"a subject's name must read S<number>, as S47, but got {name!r}")
    return f"S{name[1:].lstrip('0') or '0'}"


def subject_order(subject: str) -> tuple[int, str]:
    """Sort key that puts S9 before S10."""
    return int(subject[1:]), subject
