"""Many segment files → samples, on all cores.

A thread pool runs one child process for every few thousand files. `ProcessPoolExecutor` is unsuitable:
it imports the caller's script again, which fails without `if __name__ == "__main__"`, and its processes
stay alive when the parent is killed.
"""

import contextlib
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from atml.defaults import granted_cores
from atml.ecg.segment import SegmentName
from atml.ecg.sources.iesd import Problem, read_segment
from atml.errors import BadSegment, DataError

CHUNK_FILES = 250
CHUNK_FILES_APART = 4_000  # starting a process costs as much as reading 1,000
MOST_PARSERS = 16  # a disk cannot supply more
FEWEST_FILES_PER_PARSER = 1_000

Parsed = dict[str, NDArray[np.float32] | Problem]  # of each file, its samples or what is wrong with it


def parse_files(directory: Path, names: Sequence[str], workers: int | None) -> Generator[Parsed, None, None]:
    """Parse the named files of a directory; chunks come in the order of ``names``.

    Raises:
        DataError: a parser process died.
    """
    parsers = min(workers or min(granted_cores(), MOST_PARSERS), len(names) // FEWEST_FILES_PER_PARSER)
    if parsers < 2:
        for chunk in _chunks(names, CHUNK_FILES):
            yield parse_chunk(directory, chunk)
        return
    chunks = _chunks(names, min(CHUNK_FILES_APART, -(-len(names) // parsers)))
    with ThreadPoolExecutor(parsers) as pool:
        yield from pool.map(partial(_parse_apart, directory), chunks)


def _chunks(names: Sequence[str], files: int) -> list[list[str]]:
    return [list(names[start : start + files]) for start in range(0, len(names), files)]


def parse_chunk(directory: Path, names: Sequence[str]) -> Parsed:
    """Parse files in this process."""
    return {name: _parse_file(directory, name) for name in names}


def _parse_file(directory: Path, name: str) -> NDArray[np.float32] | Problem:
    try:
        SegmentName.parse(name)
    except BadSegment as error:
        return Problem(file=name, text=str(error))
    return read_segment(directory / name)


def _parse_apart(directory: Path, names: list[str]) -> Parsed:
    """Parse files in a separate process."""
    # -P: a user's file such as random.py in the working folder is not the library of that name.
    command = [sys.executable, "-P", "-c", "from atml.ecg.parsing import serve; serve()", str(directory)]
    try:
        done = subprocess.run(  # noqa: S603  (our own module)
            command,
            check=False,
            input=json.dumps(names).encode(),
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,  # Ctrl-C is only for the parent
        )
    except OSError as error:
        raise DataError(
            f"cannot start a process to read segments: {error.strerror or error}; "
            "end other programs and try again."
        ) from error
    if done.returncode != 0:
        raise DataError(
            f"a process that read segments ended with status {done.returncode}, "
            "perhaps for lack of memory; try again."
        )
    chunk: Parsed = pickle.loads(done.stdout)  # noqa: S301  (written by `serve`)
    return chunk


def serve() -> None:
    """Run in the separate process: read file names, write a chunk."""
    chunk = parse_chunk(Path(sys.argv[1]), json.load(sys.stdin.buffer))
    with contextlib.suppress(BrokenPipeError):  # the parent was killed
        pickle.dump(chunk, sys.stdout.buffer)
        sys.stdout.buffer.flush()
