"""Many segment files → samples, on all cores.

The parsers are plain child processes that talk over pipes. Unlike `multiprocessing` they neither
fork a parent that may have threads, nor import the caller's main module again, and they end by
themselves when the parent is killed: their standard input closes.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from atml.ecg.segment import SegmentName
from atml.ecg.sources.iesd import Problem, read_segment
from atml.errors import BadSegment, DataError

CHUNK_FILES = 250
MOST_PARSERS = 16  # a disk feeds no more
FEWEST_FILES_PER_PARSER = 1_000  # starting a process costs as much as reading that many


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """The outcome of consecutive files: well-formed segments of any length, and the others."""

    names: list[str]
    lengths: list[int]
    samples: NDArray[np.float32]  # all segments end to end, [sum(lengths)]
    problems: list[Problem]
    files: int  # read, well-formed or not


def parse_files(directory: Path, names: Sequence[str], workers: int | None) -> Generator[Chunk, None, None]:
    """Parse the named files of a directory; chunks come in the order of ``names``.

    Raises:
        DataError: a parser process died.
    """
    parsers = min(workers or _cores(), len(names) // FEWEST_FILES_PER_PARSER)
    chunks = deque(list(names[start : start + CHUNK_FILES]) for start in range(0, len(names), CHUNK_FILES))
    if parsers < 2:
        for chunk in chunks:
            yield parse_chunk(directory, chunk)
    else:
        yield from _parse_in_parallel(directory, chunks, parsers)


def parse_chunk(directory: Path, names: list[str]) -> Chunk:
    """Parse files in this process."""
    good, lengths, arrays, problems = [], [], [], []
    for name in names:
        outcome = _parse_file(directory, name)
        if isinstance(outcome, Problem):
            problems.append(outcome)
        else:
            good.append(name)
            lengths.append(len(outcome))
            arrays.append(outcome)
    samples = np.concatenate(arrays) if arrays else np.empty(0, dtype=np.float32)
    return Chunk(names=good, lengths=lengths, samples=samples, problems=problems, files=len(names))


def _parse_file(directory: Path, name: str) -> NDArray[np.float32] | Problem:
    try:
        SegmentName.parse(name)
    except BadSegment as error:
        return Problem(file=name, text=str(error))
    return read_segment(directory / name)


def _cores() -> int:
    # A container or a batch system may grant fewer cores than the machine has.
    granted = getattr(os, "sched_getaffinity", None)
    cores = len(granted(0)) if granted else os.cpu_count() or 1
    return min(cores, MOST_PARSERS)


def _parse_in_parallel(directory: Path, chunks: deque[list[str]], parsers: int) -> Iterator[Chunk]:
    """Deal chunks out in turn and collect them in turn, each parser one chunk ahead."""
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(_parser(directory)) for _ in range(parsers)]
        waiting: deque[subprocess.Popen[bytes]] = deque()
        for process in processes * 2:
            if chunks:
                _ask(process, chunks.popleft())
                waiting.append(process)
        while waiting:
            process = waiting.popleft()
            yield _answer(process)
            if chunks:
                _ask(process, chunks.popleft())
                waiting.append(process)


@contextlib.contextmanager
def _parser(directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    try:
        process = subprocess.Popen(  # noqa: S603  (our own module)
            [sys.executable, "-c", "from atml.ecg.parsing import serve; serve()", str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,  # Ctrl-C is for the parent, which then ends this one
        )
    except OSError as error:
        raise DataError(
            f"cannot start a process to read segments: {error.strerror or error}; "
            "end other programs and try again."
        ) from error
    try:
        yield process
    finally:
        process.kill()  # it holds nothing that would have to be saved
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        process.wait()


def _ask(process: subprocess.Popen[bytes], names: list[str]) -> None:
    # 250 names fit into a pipe's buffer (64 KiB), so this never waits for a busy parser.
    with contextlib.suppress(BrokenPipeError):  # `_answer` finds it dead and says so
        stdin = cast("BinaryIO", process.stdin)
        stdin.write(json.dumps(names).encode() + b"\n")
        stdin.flush()


def _answer(process: subprocess.Popen[bytes]) -> Chunk:
    stdout = cast("BinaryIO", process.stdout)
    header = stdout.readline()
    if header.endswith(b"\n"):
        fields = json.loads(header)
        content = stdout.read(4 * sum(fields["lengths"]))
        if len(content) == 4 * sum(fields["lengths"]):
            problems = [Problem(**problem) for problem in fields.pop("problems")]
            samples = np.frombuffer(content, dtype=np.float32)
            return Chunk(**fields, samples=samples, problems=problems)
    raise DataError(
        f"a process that read segments ended with status {process.wait()}, "
        "perhaps for want of memory; try again."
    )


def serve() -> None:
    """Be a parser: a line with file names in, a header and samples out, until the input closes."""
    directory = Path(sys.argv[1])
    with contextlib.suppress(BrokenPipeError):
        for line in sys.stdin.buffer:
            chunk = parse_chunk(directory, json.loads(line))
            header = {
                "names": chunk.names,
                "lengths": chunk.lengths,
                "problems": [asdict(problem) for problem in chunk.problems],
                "files": chunk.files,
            }
            sys.stdout.buffer.write(json.dumps(header).encode() + b"\n")
            sys.stdout.buffer.write(chunk.samples.data)
            sys.stdout.buffer.flush()
