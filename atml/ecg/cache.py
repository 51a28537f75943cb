"""The segments of a directory as one memory-mapped array, so that text is parsed only once.

There is one entry per directory, named by a hash of its resolved path::

    <cache>/segments/<directory hash>/<key>.f32    samples, little-endian float32, row after row
    <cache>/segments/<directory hash>/<key>.json   names, length, problems, fingerprint

The key is a hash of all file names, sizes and modification times (and of the format version), so a
changed directory has another key. Both files are written under temporary names and renamed, the index
last, so an index always has its samples. Processes that build the same entry at the same time write the
same bytes; a process that has mapped a replaced file keeps it.
"""

import contextlib
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from atml.ecg.parsing import Chunk, parse_chunk, parse_files
from atml.ecg.sources.iesd import RESTORE, Listing, Problem
from atml.files import TEMPORARY, cannot_write, remove_abandoned, whole

FORMAT = 1  # increase it when the files or the messages about damaged segments change
GUESS_FILES = 101  # read to guess the segment length before reading all files

Progress = Callable[[int, int], None]  # files done, files in total


@dataclass(frozen=True, kw_only=True)
class Store:
    """All well-formed segments of a directory, sorted by file name."""

    samples: NDArray[np.float32]  # [segments, length], memory-mapped, read-only
    names: tuple[str, ...]
    problems: tuple[Problem, ...]  # sorted by file name
    fingerprint: str  # of names and samples; the same on every machine


def default_cache_dir() -> Path:
    """``ATML_CACHE``, or the user's cache directory."""
    named = os.environ.get("ATML_CACHE")
    if named:
        return Path(named)
    import platformdirs

    return Path(platformdirs.user_cache_dir("atml"))


def open_store(
    directory: Path,
    listing: Listing,
    *,
    cache_dir: str | Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Store:
    """Map a directory's samples, parsing its files first if they changed since the last time.

    Raises:
        CannotWrite: the cache cannot be written.
    """
    resolved = directory.resolve()
    base = default_cache_dir() if cache_dir is None else Path(cache_dir)
    entry = base / "segments" / hashlib.sha256(os.fsencode(resolved)).hexdigest()[:32]
    key = _key(listing)
    store = _read(entry, key)
    if store is None or _readable_again(resolved, store.problems):
        try:
            entry.mkdir(parents=True, exist_ok=True)
            store = _build(resolved, listing, entry, key, workers, progress)
            _remove_others(entry, key)
        except OSError as error:
            advice = "make room there, or set ATML_CACHE to a folder with room"
            raise cannot_write(f"the segment cache {base}", error, advice=advice) from error
    return store


def _key(listing: Listing) -> str:
    described = json.dumps([FORMAT, listing.files])
    return hashlib.sha256(described.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _read(entry: Path, key: str) -> Store | None:
    """The cached store, or ``None`` if it is missing or invalid."""
    try:
        index = json.loads((entry / f"{key}.json").read_bytes())
        names, length = tuple(index["names"]), index["length"]
        if index["format"] != FORMAT or len(index["fingerprint"]) != 64:
            return None
        return Store(
            samples=_map(entry / f"{key}.f32", len(names), length),
            names=names,
            problems=tuple(Problem(**problem) for problem in index["problems"]),
            fingerprint=index["fingerprint"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _map(path: Path, rows: int, length: int) -> NDArray[np.float32]:
    if path.stat().st_size != rows * length * 4:
        raise ValueError(f"{path} has the wrong size")
    if rows == 0:  # an empty file cannot be mapped
        return np.empty((0, length), dtype=np.float32)
    return np.asarray(np.memmap(path, dtype="<f4", mode="r", shape=(rows, length)))


def _readable_again(directory: Path, problems: tuple[Problem, ...]) -> bool:
    """Whether a previously unreadable file is readable now; its size and time do not show that."""
    return any(problem.unreadable and os.access(directory / problem.file, os.R_OK) for problem in problems)


def _build(
    directory: Path, listing: Listing, entry: Path, key: str, workers: int | None, progress: Progress | None
) -> Store:
    names = [name for name, _, _ in listing.files]
    length = _most_common(Counter(parse_chunk(directory, names[:: len(names) // GUESS_FILES + 1]).lengths))
    with whole(entry / f"{key}.f32") as file:
        while True:
            building = _Building(length, file)
            with contextlib.closing(parse_files(directory, names, workers)) as chunks:
                for chunk in chunks:
                    building.add(chunk)
                    if progress is not None:
                        progress(len(building.names) + len(building.problems), len(names))
            # The segment length is the most common one (the longer one on a tie). The guess is nearly
            # always right; if not, the files are read once more.
            if _most_common(building.lengths) == length:
                break
            length = _most_common(building.lengths)
            file.seek(0)
            file.truncate()
        file.flush()
        # Mapped before it is renamed; afterwards another process may replace it.
        samples = _map(Path(file.name), len(building.names), length)
    store = Store(
        samples=samples,
        names=tuple(building.names),
        problems=tuple(sorted(building.problems, key=lambda problem: problem.file)),
        fingerprint=building.fingerprint(),
    )
    index = {
        "format": FORMAT,
        "directory": str(directory),  # informative only
        "length": length,
        "fingerprint": store.fingerprint,
        "problems": [asdict(problem) for problem in store.problems],
        "names": store.names,
    }
    with whole(entry / f"{key}.json") as file:
        file.write(json.dumps(index).encode())
    return store


class _Building:
    """Separates parsed chunks into samples, which are written immediately, and problems."""

    def __init__(self, length: int, file: BinaryIO) -> None:
        self._length = length
        self._file = file
        self._hash = hashlib.sha256()
        self.names: list[str] = []
        self.problems: list[Problem] = []
        self.lengths: Counter[int] = Counter()

    def add(self, chunk: Chunk) -> None:
        self.lengths.update(chunk.lengths)
        self.problems.extend(chunk.problems)
        start = 0
        for name, length in zip(chunk.names, chunk.lengths, strict=True):
            if length == self._length:
                row = chunk.samples[start : start + length].astype("<f4", copy=False).data
                self._file.write(row)
                self._hash.update(row)
                self.names.append(name)
            else:
                self.problems.append(_wrong_length(name, length, self._length))
            start += length

    def fingerprint(self) -> str:
        names = json.dumps([self._length, self.names]).encode()
        return hashlib.sha256(self._hash.digest() + names).hexdigest()


def _most_common(lengths: Counter[int]) -> int:
    return max(lengths, key=lambda length: (lengths[length], length), default=0)


def _wrong_length(name: str, length: int, expected: int) -> Problem:
    said, line = ("ends after", length) if length < expected else ("goes on to", expected + 1)
    text = f"{said} {length} numbers, the other segments hold {expected}; {RESTORE}"
    return Problem(file=name, line=line, text=text)


def _remove_others(entry: Path, key: str) -> None:
    """Remove files of earlier states of the directory and of killed processes."""
    remove_abandoned(entry)
    for path in entry.iterdir():
        if path.stem != key and not path.name.endswith(TEMPORARY):
            with contextlib.suppress(OSError):  # another process was faster
                path.unlink()
