"""The segments of a directory as one memory-mapped array, so that text is parsed only once.

There is one entry per directory, named by a hash of its resolved path::

    <cache>/segments/<directory hash>/<key>.f32    samples, little-endian float32, row after row
    <cache>/segments/<directory hash>/<key>.json   names, length, problems, fingerprint, time of the .f32

The key is a hash of all file names, sizes and modification times (and of the format version), so a
changed directory has another key. Both files are written under temporary names and renamed, the index
last, so an index always has its samples. Samples written at another time than the index says have been
changed, and are parsed again. Processes that build the same entry at the same time write the same bytes;
a process that has mapped a replaced file keeps it.
"""

import contextlib
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from atml.ecg.parsing import parse_chunk, parse_files
from atml.ecg.sources.iesd import RESTORE, Listing, Problem
from atml.files import TEMPORARY, cannot_write, remove_abandoned, whole

FORMAT = 2  # increase it when the files or the messages about damaged segments change
GUESS_FILES = 101  # read to guess the segment length before reading all files

Progress = Callable[[int, int], None]  # called with (done, total)


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
    progress: Progress = lambda done, total: None,
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
        names, path = tuple(index["names"]), entry / f"{key}.f32"
        if len(index["fingerprint"]) != 64 or path.stat().st_mtime_ns != index["written_ns"]:
            return None
        return Store(
            samples=_map(path, len(names), index["length"]),
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
    directory: Path, listing: Listing, entry: Path, key: str, workers: int | None, progress: Progress
) -> Store:
    files = [name for name, _, _ in listing.files]
    sample = parse_chunk(directory, files[:: len(files) // GUESS_FILES + 1])
    lengths = Counter(len(one) for one in sample.values() if not isinstance(one, Problem))
    # The most common length, the longer one on a tie.
    length = max(lengths, key=lambda length: (lengths[length], length), default=0)
    names: list[str] = []
    problems: list[Problem] = []
    content = hashlib.sha256()
    path = entry / f"{key}.f32"
    with whole(path) as file, contextlib.closing(parse_files(directory, files, workers)) as chunks:
        for chunk in chunks:
            for name, found in chunk.items():
                if isinstance(found, Problem):
                    problems.append(found)
                    continue
                length = length or len(found)  # no file of the sample was sound
                if len(found) != length:
                    problems.append(_wrong_length(name, len(found), length))
                    continue
                row = found.astype("<f4", copy=False).data
                file.write(row)
                content.update(row)
                names.append(name)
            progress(len(names) + len(problems), len(files))
        file.flush()
        # Mapped before it is renamed; afterwards another process may replace it.
        samples = _map(Path(file.name), len(names), length)
    store = Store(
        samples=samples,
        names=tuple(names),
        problems=tuple(sorted(problems, key=lambda problem: problem.file)),
        fingerprint=hashlib.sha256(content.digest() + json.dumps([length, names]).encode()).hexdigest(),
    )
    index = {
        "length": length,
        "written_ns": path.stat().st_mtime_ns,
        "fingerprint": store.fingerprint,
        "problems": [asdict(problem) for problem in store.problems],
        "names": store.names,
    }
    with whole(entry / f"{key}.json") as file:
        file.write(json.dumps(index).encode())
    return store


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
