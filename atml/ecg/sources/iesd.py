"""IESD directories: one text file per segment, one number per line.

`scan` lists a directory without opening files; `read_segment` reads one file or returns what is wrong
with it. Parser processes import this module, so it imports nothing slow.
"""

import contextlib
import errno
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from atml.errors import DataError, NoSegments
from atml.files import read_file, why_unreadable

# Ten minutes at 250 Hz take a quarter of this. A larger file is something else, and reading it could
# exhaust the memory.
LARGEST_FILE_BYTES = 8 * 2**20

_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}

RESTORE = "fetch or write the file again, or remove it"


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is wrong with one file, where, and what to do."""

    file: str  #: Name of the file.
    text: str  #: What is wrong and what to do.
    line: int | None = None  #: The line; None if the whole file is meant.
    #: Whether the operating system denied access; that may change without a change of size or time.
    unreadable: bool = False

    def __str__(self) -> str:
        """One line: ``file:line: what is wrong; what to do``."""
        # Control characters in a file name must not reach the terminal.
        file = self.file if self.file.isprintable() else ascii(self.file)
        place = file if self.line is None else f"{file}:{self.line}"
        return f"{place}: {self.text}"


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The entries of a directory, sorted by name, before any file is opened."""

    files: tuple[tuple[str, int, int], ...]  # candidates: name, bytes, modification time in ns
    ignored: tuple[str, ...]  # obviously not segments: subdirectories, hidden files, a README.md


def scan(directory: Path) -> Listing:
    """List the files that are, or should be, segments.

    Any name that ends in ``.txt`` or begins like a segment is a candidate, so that a misspelt name is
    reported instead of being ignored silently.

    Raises:
        NoSegments: there is no such directory.
        DataError: it cannot be listed.
    """
    files, ignored = [], []
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if not _looks_like_a_segment(entry):
                    ignored.append(entry.name)
                    continue
                try:
                    status = entry.stat()
                    files.append((entry.name, status.st_size, status.st_mtime_ns))
                except OSError:  # such as a dangling link; reported when read
                    files.append((entry.name, -1, 0))
    except FileNotFoundError:
        raise NoSegments(f"{directory} does not exist; check the path.") from None
    except NotADirectoryError:
        raise NoSegments(f"{directory} is a file; give the directory that holds the segment files.") from None
    except OSError as error:
        raise DataError(f"{directory} cannot be listed: {error.strerror}; check its permissions.") from error
    return Listing(files=tuple(sorted(files)), ignored=tuple(sorted(ignored)))


def _looks_like_a_segment(entry: os.DirEntry[str]) -> bool:
    name = entry.name
    if name.startswith("."):
        return False
    if name[:1] == "S" and name[1:2].isdigit() and "-" in name:
        return True
    return name.lower().endswith(".txt") and not entry.is_dir()


def read_segment(path: Path) -> NDArray[np.float32] | Problem:
    """Read one file: a finite number on each line, blank lines at the end only."""
    try:
        text = read_file(path, most_bytes=LARGEST_FILE_BYTES)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.EFBIG):  # a directory, a pipe, or too large
            return Problem(file=path.name, text=f"{error.strerror}; {RESTORE}")
        return Problem(file=path.name, text=f"cannot be read: {why_unreadable(error)}", unreadable=True)
    text = _plain_text(text)
    if not text.strip():
        return Problem(file=path.name, line=1, text=f"the file is empty; {RESTORE}")
    lines = text.rstrip().split(b"\n")
    try:
        # float() on bytes is strict except for "_", "nan" and "inf"; takes a quarter of a millisecond.
        with np.errstate(over="ignore"):
            samples = np.array([float(line) for line in lines], dtype=np.float32)
    except ValueError:
        return _first_problem(path.name, lines)
    if b"_" in text or not np.isfinite(samples).all():
        return _first_problem(path.name, lines)
    return samples


def _plain_text(text: bytes) -> bytes:
    """Return text as UTF-8 with newlines: other systems write a byte order mark, UTF-16, or only CR."""
    for mark, encoding in _MARKS.items():
        if text.startswith(mark):
            with contextlib.suppress(UnicodeDecodeError):
                text = text.decode(encoding).encode()
            break
    return text if b"\n" in text else text.replace(b"\r", b"\n")


def _first_problem(file: str, lines: list[bytes]) -> Problem:
    """Find the line at which the fast path of `read_segment` failed."""
    for number, line in enumerate(lines, start=1):
        fault = _fault(line.strip())
        if fault is not None:
            return Problem(file=file, line=number, text=f"{fault}; {RESTORE}")
    raise AssertionError(f"{file} was refused but every line of it is a finite number")


def _fault(text: bytes) -> str | None:
    """What is wrong with one line, or ``None``."""
    if not text:
        return "expected a number but got an empty line"
    shown = text.decode(errors="surrogateescape")  # what is no UTF-8 is not printable then
    if not shown.replace("\t", " ").isprintable():
        return "expected a number but got binary data"
    shown = shown if len(shown) <= 40 else shown[:39] + "…"
    try:
        value = float(text.replace(b"_", b"?"))  # as in 1_000, which is a number in Python only
    except ValueError:
        return f"expected a number but got {shown!r}"
    if not math.isfinite(value):
        return f"expected a finite number but got {shown}"
    if abs(value) > float(np.finfo(np.float32).max):
        return f"expected a number that fits 32 bits but got {shown}"
    return None
