"""Starting worker processes for a study and standing by until they are done."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import BinaryIO

from atml.errors import CannotWrite, StudyError
from atml.files import cannot_write, make_folder
from atml.service.artifacts import local_folder

POLL_SECONDS = 0.5
FIRST_BACKOFF_SECONDS = 1.0
# A worker that lived this long was working; an earlier death counts as failing at once.
SETTLED_SECONDS = 30.0
QUICK_DEATHS_ALLOWED = 2
# With which a supervised worker leaves that cannot write (EX_CANTCREAT of sysexits.h): another would
# fare no better. It tells why through a pipe, since its log may be on the same full disk.
CANNOT_WRITE = 73
LAST_WORDS_TO = "ATML_LAST_WORDS_TO"  # environment variable with the pipe's file descriptor


@dataclass(frozen=True, kw_only=True)
class WorkerPlan:
    """What every worker of a launch is told."""

    study: str
    storage: str
    artifacts: str | Path
    workers: int
    device: str = "auto"
    threads: int | None = None  # a worker; None divides the machine's cores

    def threads_each(self) -> int:
        """Return the CPU threads of one worker; two workers of one thread beat one of two."""
        return self.threads or max(1, (os.cpu_count() or 1) // self.workers)


@dataclass
class _Slot:
    """The place of one worker, through its restarts."""

    index: int
    log: Path
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    quick_deaths: int = 0
    not_before: float = 0.0
    done: bool = False
    last_words: int | None = None  # file descriptor to read them from
    cannot_write: str | None = None


@dataclass
class _Interrupts:
    """Counts Ctrl-C and SIGTERM, to be passed on to the workers."""

    pending: int = 0
    total: int = 0
    previous: dict[int, object] = field(default_factory=dict)

    def __enter__(self) -> "_Interrupts":
        for number in (signal.SIGINT, signal.SIGTERM):
            self.previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.pending += 1
        self.total += 1


def launch(
    plan: WorkerPlan,
    *,
    on_poll: Callable[[], None],
    on_interrupt: Callable[[int], None] = lambda count: None,
) -> None:
    """Run the workers of a study until all have left.

    A worker that dies is restarted, at growing intervals; one that keeps dying at once is not. The
    first Ctrl-C lets the workers finish their epoch, the second makes them leave at once.

    Args:
        plan: Which study, how many workers.
        on_poll: Called twice a second, to show progress.
        on_interrupt: Called with the count of signals so far.

    Raises:
        KeyboardInterrupt: the workers left because the user asked.
        CannotWrite: no worker could go on, for want of room or write access; quotes one of them.
        StudyError: every worker failed; quotes the end of a worker's log.
    """
    folder = local_folder(plan.artifacts) / plan.study
    make_folder(folder)
    slots = [_Slot(index=i, log=folder / f"worker-{i}.log") for i in range(plan.workers)]
    with _Interrupts() as interrupts:
        try:
            while not all(slot.done for slot in slots):
                _pass_on(interrupts, slots, on_interrupt)
                for slot in slots:
                    _tend(slot, plan, leaving=interrupts.total > 0)
                on_poll()
                time.sleep(POLL_SECONDS)
        finally:
            _end(slots)
    on_poll()
    if interrupts.total:
        raise KeyboardInterrupt
    full = [slot.cannot_write for slot in slots if slot.cannot_write]
    if full and all(slot.cannot_write or slot.quick_deaths > QUICK_DEATHS_ALLOWED for slot in slots):
        raise CannotWrite(full[0])
    if all(slot.quick_deaths > QUICK_DEATHS_ALLOWED for slot in slots):
        raise StudyError(f"every worker failed; {slots[0].log} ends with:\n{_tail(slots[0].log)}")


def _pass_on(interrupts: _Interrupts, slots: list[_Slot], on_interrupt: Callable[[int], None]) -> None:
    while interrupts.pending:
        interrupts.pending -= 1
        on_interrupt(interrupts.total)
        for slot in slots:
            if slot.process is not None and slot.process.poll() is None:
                slot.process.send_signal(signal.SIGINT)


def _tend(slot: _Slot, plan: WorkerPlan, *, leaving: bool) -> None:
    """Start the slot's worker if it has none, or decide what its end means."""
    if slot.done:
        return
    if slot.process is None:
        if leaving:
            slot.done = True
        elif time.monotonic() >= slot.not_before:
            _start(slot, plan)
        return
    code = slot.process.poll()
    if code is None:
        return
    slot.process = None
    words = _hear(slot)
    if code == CANNOT_WRITE:
        slot.cannot_write = words or f"{slot.log}: a worker could not write; see to it"
    if code == 0 or leaving or slot.cannot_write:
        slot.done = True
        return
    settled = time.monotonic() - slot.started >= SETTLED_SECONDS
    slot.quick_deaths = 1 if settled else slot.quick_deaths + 1
    slot.done = slot.quick_deaths > QUICK_DEATHS_ALLOWED
    slot.not_before = time.monotonic() + FIRST_BACKOFF_SECONDS * 2 ** (slot.quick_deaths - 1)


def _start(slot: _Slot, plan: WorkerPlan) -> None:
    threads = str(plan.threads_each())
    command = [sys.executable, "-m", "atml", "worker", plan.study, "--index", str(slot.index)]
    command += ["--artifacts", str(plan.artifacts), "--device", plan.device, "--threads", threads]
    command += ["--supervised-by", str(os.getpid())]
    # By environment, since a command line shows its password to every user of the machine.
    environment = {**os.environ, "ATML_STORAGE": plan.storage, "OMP_NUM_THREADS": threads}
    slot.last_words, theirs = os.pipe()
    try:
        with _open_log(slot.log) as log:
            slot.process = subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**environment, LAST_WORDS_TO: str(theirs)},
                pass_fds=(theirs,),
                # Ctrl-C must reach a worker once, from here, not from the terminal too.
                start_new_session=True,
            )
    finally:
        os.close(theirs)
    slot.started = time.monotonic()


def _open_log(path: Path) -> BinaryIO:
    try:
        return path.open("ab")
    except OSError as error:
        raise cannot_write(path, error) from None


def _hear(slot: _Slot) -> str:
    """Return what a worker that has ended said last."""
    if slot.last_words is None:
        return ""
    with os.fdopen(slot.last_words, "rb") as pipe:
        slot.last_words = None
        os.set_blocking(pipe.fileno(), False)  # a process that it left behind may hold the other end
        return (pipe.read() or b"").decode()


def _end(slots: list[_Slot]) -> None:
    """Make sure that no worker outlives its launcher."""
    for slot in slots:
        if slot.process is not None and slot.process.poll() is None:
            slot.process.kill()
            slot.process.wait()
        _hear(slot)


def _tail(path: Path, lines: int = 12) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
