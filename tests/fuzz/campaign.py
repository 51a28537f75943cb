"""Runs bad inputs and counts what became of them: `python -m tests.fuzz.campaign 10000 --seed 1`.

Each input depends only on seed, kind and number, so `--kind "ONNX file" --only 17` repeats one.
"""

import argparse
import contextlib
import io
import json
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

import torch

from atml.cli.main import main
from atml.service import s3
from tests.fuzz.kinds import KINDS, SECRET, Case
from tests.fuzz.workplace import make_workplace

LIMIT_SECONDS = 30  # for one command, on a busy machine
MEMORY_BYTES = 8 << 30  # address space that one campaign may have
REFUSED, ACCEPTED = "refused", "accepted"
DEFECTS = ("traceback", "hang", "crash", "half-written", "wrong answer", "secret shown", "no sentence")


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of one input."""

    kind: str
    number: int
    outcome: str
    command: list[str]
    detail: str = ""


class _TooLong(BaseException):
    """The command has not ended in time."""


def run_one(kind: str, number: int, *, seed: int, good: Path) -> Result:
    """Run one input in a folder of its own, within this process."""
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        case = KINDS[kind](Random(f"{seed} {kind} {number}"), good, here)
        code, shown, said, error = _run(case, here)
        outcome, detail = _judged(case, here, code, shown, said, error)
    return Result(kind=kind, number=number, outcome=outcome, command=case.arguments, detail=detail)


def _run(case: Case, here: Path) -> tuple[int | str | None, str, str, str]:
    """Do what `atml` does; return the exit code, standard output, standard error and an escaped error."""
    code: int | str | None = 0
    shown, said, escaped = io.StringIO(), io.StringIO(), ""
    arguments, variables = sys.argv, dict(os.environ)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        sys.argv = ["atml", *case.arguments]
        os.environ.update(case.environment)
        with (
            _limited(LIMIT_SECONDS),
            contextlib.chdir(here),
            contextlib.redirect_stdout(shown),
            contextlib.redirect_stderr(said),
        ):
            main()
    except SystemExit as exit_:
        code = exit_.code
    except _TooLong:
        escaped = f"hang: {traceback.format_exc()[-1500:]}"
    except BaseException:  # noqa: BLE001  (whatever it is, it is the result)
        escaped = traceback.format_exc()
    finally:
        sys.argv = arguments
        os.environ.clear()
        os.environ.update(variables)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return code, shown.getvalue(), said.getvalue(), escaped


@contextlib.contextmanager
def _limited(seconds: int) -> Iterator[None]:
    def stop(_number: int, _frame: object) -> None:
        raise _TooLong

    previous = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


def _judged(
    case: Case, here: Path, code: int | str | None, shown: str, said: str, error: str
) -> tuple[str, str]:
    told = f"{said[-1500:]}{error}"
    left = [str(path.relative_to(here)) for path in here.rglob(".*")]
    if error.startswith("hang"):
        return "hang", told
    if error or "This is a defect of ATML" in said or "Traceback" in said:
        return "traceback", told
    if SECRET in shown + said:
        return "secret shown", told
    if left or (code and case.out is not None and case.out.exists()):
        return "half-written", f"{left} {told}"
    if code in (1, 2):
        is_told = "Error: " in said or (case.arguments[0] == "verify" and shown) or "problem" in shown
        return (REFUSED, "") if is_told else ("no sentence", f"{shown[-500:]} {told}")
    if code not in (0, None):
        return "no sentence", f"exit code {code}: {told}"
    try:
        wrong = case.wrong(shown)
    except Exception:  # noqa: BLE001  (whatever it is, the answer could not be read)
        wrong = traceback.format_exc()
    return (ACCEPTED, "") if wrong is None else ("wrong answer", f"{wrong} {told}")


def table(results: list[Result]) -> str:
    """Return the number of inputs by kind and outcome."""
    columns = (REFUSED, ACCEPTED, *DEFECTS)
    lines = [f"{'kind':15}{'inputs':>8}" + "".join(f"{name:>14}" for name in columns)]
    for kind in (*KINDS, "all"):
        of_kind = [one for one in results if kind in (one.kind, "all")]
        counts = Counter(one.outcome for one in of_kind)
        lines.append(f"{kind:15}{len(of_kind):>8,}" + "".join(f"{counts[name]:>14,}" for name in columns))
    return "\n".join(lines)


def campaign(count: int, *, seed: int, good: Path, kinds: tuple[str, ...] = tuple(KINDS)) -> Iterator[Result]:
    """Run `count` inputs, as many of each kind, in processes that may crash."""
    for kind in kinds:
        number, until = 0, count // len(kinds)
        while number < until:
            for result in _in_a_process(kind, number, until, seed=seed, good=good):
                number = result.number + 1
                yield result


def _in_a_process(kind: str, start: int, until: int, *, seed: int, good: Path) -> Iterator[Result]:
    """Run inputs in one process, until one makes it crash or hang for good."""
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "tests.fuzz.campaign", str(until), "--seed", str(seed), "--kind", kind]
    command += ["--start", str(start), "--good", str(good), "--pipe", str(writer)]
    with tempfile.TemporaryFile() as log, os.fdopen(reader, "rb") as results:
        process = subprocess.Popen(
            command, pass_fds=(writer,), stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
        os.close(writer)
        number, patience = start, 120
        while select.select([results], [], [], patience)[0] and (line := results.readline()):
            result = Result(**json.loads(line))
            number, patience = result.number + 1, 3 * LIMIT_SECONDS
            yield result
        is_over = process.poll() is None and number < until
        process.kill()
        code = process.wait()
        if number < until:
            log.seek(0)
            detail = f"exit code {code}: {log.read()[-1000:].decode(errors='replace')}"
            yield Result(
                kind=kind, number=number, outcome="hang" if is_over else "crash", command=[], detail=detail
            )


def _serve(options: argparse.Namespace) -> None:
    """Run inputs in this process and write the results into a pipe."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    with os.fdopen(options.pipe, "wb", buffering=0) as pipe:
        for number in range(options.start, options.count):
            result = run_one(options.kind, number, seed=options.seed, good=options.good)
            pipe.write(json.dumps(asdict(result)).encode() + b"\n")


@contextlib.contextmanager
def prepared() -> Iterator[None]:
    """Set what every command inherits: a cache of its own, and a client of S3 that gives up soon."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory() as cache:
        os.environ |= {
            "ATML_CACHE": cache,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/nonexistent",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
        }
        attempts, s3.ATTEMPTS = s3.ATTEMPTS, 1
        try:
            yield
        finally:
            s3.ATTEMPTS = attempts
            os.environ.clear()
            os.environ.update(before)


def _main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, help="inputs, of all kinds together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=KINDS, help="only this kind")
    parser.add_argument("--only", type=int, help="only the input of this number, with all that is said")
    parser.add_argument("--start", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--good", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--pipe", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with prepared():
        if options.pipe is None:
            return _whole(options)
        _serve(options)
        return 0


def _whole(options: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory() as name:
        good = Path(name)
        make_workplace(good)
        if options.only is not None:
            print(run_one(options.kind, options.only, seed=options.seed, good=good))
            return 0
        kinds = (options.kind,) if options.kind else tuple(KINDS)
        results = []
        for result in campaign(options.count, seed=options.seed, good=good, kinds=kinds):
            results.append(result)
            if result.outcome in DEFECTS:
                print(
                    f"--- {result.kind} {result.number}: {result.outcome}: {result.command}\n{result.detail}"
                )
                sys.stdout.flush()
    print(table(results))
    return int(any(result.outcome in DEFECTS for result in results))


if __name__ == "__main__":
    sys.exit(_main())
