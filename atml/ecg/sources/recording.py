"""What every reader of recordings returns: a signal, its rate, and which rhythm is where."""

import hashlib
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from atml.ecg.segment import AFIB_RHYTHM
from atml.ecg.sources.iesd import Problem
from atml.errors import BadRecording, DataError

# Rhythm codes of PhysioNet's annotations (https://archive.physionet.org/physiobank/annotations.shtml).
RHYTHM_CODES = frozenset(
    "AB AFIB AFL B BII IVR J N NOD P PREX SAB SBR SVTA T VFIB VFL VT".split()  # noqa: SIM905
)
MILLIVOLTS = {"v": 1e3, "mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "nv": 1e-6}

Result = TypeVar("Result")

LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 50.0, 100_000.0

_ECG_CHANNEL = re.compile(r"ecg|ekg|\b(ml)?i{1,3}\b|\bav[rlf]\b|\b(ml)?v[1-9]r?\b", re.IGNORECASE)
LONGEST_CODE = 100
_SEPARATORS = re.compile(r"[\s/,:;|()\[\]{}'\"-]+")
_NOT_IN_A_CODE = re.compile(r"[^A-Za-z0-9_+.]")


@dataclass(frozen=True, kw_only=True)
class Span:
    """A part of a recording that has one rhythm."""

    rhythm: str  # "AFIB", "N", …
    start_seconds: float
    end_seconds: float  # exclusive


@dataclass(frozen=True, kw_only=True, eq=False)
class InParts:
    """The samples of one channel, of which only the parts that are asked for are read."""

    samples: int
    read: Callable[[int, int], NDArray[np.float64]]  # first sample and end; raises BadRecording

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, part: slice, /) -> NDArray[np.float64]:
        start, end, _ = part.indices(self.samples)
        return self.read(start, end)


Signal = NDArray[np.float64] | InParts


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """One channel of one recording."""

    record: str  # its name in the source
    signal: Signal  # [samples], NaN where nothing was recorded
    rate_hz: float
    spans: tuple[Span, ...]  # in order; no rhythm is known between them
    channel: str = ""
    unit: str = ""  # "mV" if the source's unit was known; empty otherwise
    subject: str | None = None  # the person, if the source says
    notes: tuple[str, ...] = ()  # what to check

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.signal) / self.rate_hz


@dataclass(frozen=True, kw_only=True)
class Item:
    """A record or file that has been found but not read."""

    name: str
    read: Callable[[], Iterable[Recording | Problem]]  # raises BadRecording

    def each(self, use: Callable[[Recording], Result]) -> Iterator[Result | Problem]:
        """Yield what `use` makes of each recording, or what is wrong with it."""
        try:
            for one in self.read():
                yield self._problem(one.text, one.file) if isinstance(one, Problem) else self._used(use, one)
        except (BadRecording, OSError) as error:
            yield self._problem(error, self.name)

    def _used(self, use: Callable[[Recording], Result], recording: Recording) -> Result | Problem:
        try:
            return use(recording)
        except (BadRecording, OSError) as error:
            return self._problem(error, recording.record)

    def _problem(self, what: str | BadRecording | OSError, record: str) -> Problem:
        if isinstance(what, OSError):
            what = f"cannot be read: {what.strerror or what}; check its permissions and its disk"
        told = record.startswith(self.name) or self.name.startswith(record)
        return Problem(file=record if told else f"{self.name}: {record}", text=str(what))


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How to read recordings."""

    lead: str | None = None  # name or number of the channel; numbers begin at 0
    rate_hz: float | None = None  # where the format does not hold it
    columns: dict[str, str] = field(default_factory=dict)  # role → column or array
    annotator: str = "atr"  # extension of WFDB annotation files
    rhythms: frozenset[str] = frozenset()  # further texts that are rhythms
    in_parts: bool = False  # read signals part by part as needed, and no rhythms


Read = Callable[[Path, str, Reading], Iterable[Recording | Problem]]  # of a file and its name


def rhythm_code(text: str) -> str:
    """Return a rhythm as a part of a file name: "(AFIB\\0" becomes "AFIB", "sinus rhythm" "sinus_rhythm".

    Characters that are neither ASCII letters nor separators become their Unicode numbers, so that different
    names stay different. Of a long name the end is replaced by a hash.
    """
    code = _SEPARATORS.sub("_", text.strip(" \t\r\n\0()[]{}'\""))
    code = _NOT_IN_A_CODE.sub(lambda found: f"U{ord(found[0]):04X}", code)
    if len(code) > LONGEST_CODE:  # names of files have at most 255 bytes
        code = code[: LONGEST_CODE - 8] + hashlib.sha256(code.encode()).hexdigest()[:8]
    return AFIB_RHYTHM if code.upper() == AFIB_RHYTHM else code


def spans_between(changes: Iterable[tuple[float, str | None]], end_seconds: float) -> tuple[Span, ...]:
    """Return the spans of rhythms that last until the next change; `None` and "" are no rhythm.

    A rhythm that is stated again goes on.
    """
    ordered = sorted(changes, key=lambda change: change[0])
    ends = [*(seconds for seconds, _ in ordered[1:]), end_seconds]
    spans: list[Span] = []
    for (start, rhythm), next_start in zip(ordered, ends, strict=True):
        end = min(next_start, end_seconds)
        if not rhythm or start >= end:
            continue
        if spans and (spans[-1].rhythm, spans[-1].end_seconds) == (rhythm, start):
            start = spans.pop().start_seconds
        spans.append(Span(rhythm=rhythm, start_seconds=start, end_seconds=end))
    return tuple(spans)


def choose_channel(names: Sequence[str], lead: str | None) -> int:
    """Return the index of the channel to read: the lead asked for, or else the first ECG channel.

    Raises:
        BadRecording: there is no such channel, or it is unclear which one is the ECG.
    """
    has = ", ".join(f"{index} {name}" for index, name in enumerate(names)) or "none"
    if lead is not None:
        lowered = [name.strip().lower() for name in names]
        if lead.strip().lower() in lowered:
            return lowered.index(lead.strip().lower())
        if lead.isascii() and lead.isdigit() and len(lead) < 10 and int(lead) < len(names):
            return int(lead)
        raise BadRecording(f"has no channel {lead[:40]}, but {has}; choose another with --lead")
    for index, name in enumerate(names):
        if _ECG_CHANNEL.search(name):
            return index
    if len(names) == 1:
        return 0
    raise BadRecording(f"its channels are {has}; say with --lead which is the ECG")


def checked_rate(rate_hz: float) -> float:
    """Return a sampling rate if it is that of an ECG.

    Raises:
        BadRecording: it is not.
    """
    if not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ:
        raise BadRecording(
            f"its sampling rate is {rate_hz:g} Hz, which is not within {LOWEST_RATE_HZ:g} to "
            f"{HIGHEST_RATE_HZ:g} Hz; check the file or --rate"
        )
    return rate_hz


def in_millivolts(unit: str) -> tuple[float, str]:
    """Return the factor that makes mV of a unit with "mV", or 1 with "" if it is not a voltage."""
    factor = MILLIVOLTS.get(unit.strip().lower())
    return (1.0, "") if factor is None else (factor, "mV")


def load_reader(package: str, what: str) -> Any:
    """Import an optional package.

    Raises:
        DataError: it is not installed; says how to install it.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # wfdb's use of pandas, which its user cannot change
            return import_module(package)
    except ImportError as error:
        raise DataError(
            f"reading {what} needs the Python package {package.partition('.')[0]} ({error}); "
            "install it with: pip install 'atml[formats]'"
        ) from None


def file_items(files: Iterable[Path], top: Path, reading: Reading, read: Read) -> list[Item]:
    """Return an item for each file, named by its path below `top` without its ending, with slashes."""
    found = []
    for file in files:
        name = file.relative_to(top).with_suffix("").as_posix() if file != top else file.stem
        found.append(Item(name=name, read=partial(read, file, name, reading)))
    return found
