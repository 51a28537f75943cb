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

from optuna import Study

from atml.errors import CannotWrite, StorageUnreachable, StudyError
from atml.files import cannot_write, prepare_folder
from atml.service.artifacts import local_folder
from atml.service.restarts import Deeds, Restarts, deeds_of
from atml.training import spread_over_devices

POLL_SECONDS = 0.5
# With which a supervised worker leaves that cannot write (EX_CANTCREAT of sysexits.h): another would
# fare no better. It tells why through a pipe, since its log may be on the same full disk.
CANNOT_WRITE = 73
LAST_WORDS_TO = "ATML_LAST_WORDS_TO"  # environment variable with the pipe's file descriptor


@dataclass(frozen=True, kw_only=True)
class WorkerPlan:
    """What every worker of a launch is told."""

    storage: str
    artifacts: str | Path
    workers: int
    device: str = "auto"  # `auto` and `cuda` deal the workers out over all GPUs
    threads: int | None = None  # a worker; None divides the machine's cores

    def threads_each(self) -> int:
        """Return the CPU threads of one worker; two workers of one thread beat one of two."""
        return self.threads or max(1, (os.cpu_count() or 1) // self.workers)


@dataclass
class _Slot:
    """The place of one worker, through its restarts."""

    index: int
    device: str
    log: Path
    restarts: Restarts = field(default_factory=Restarts)
    process: subprocess.Popen[bytes] | None = None
    not_before: float = 0.0
    done: bool = False
    failed: bool = False
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
    study: Study,
    plan: WorkerPlan,
    *,
    on_poll: Callable[[], None] = lambda: None,
    say: Callable[[str], None] = lambda text: None,
) -> None:
    """Run the workers of a study until all have left.

    A worker that dies is restarted, at growing intervals; one that keeps dying without gaining
    anything is not. The first Ctrl-C lets the workers finish their epoch, the second makes them leave
    at once.

    Args:
        study: The study.
        plan: How many workers, and what they are told.
        on_poll: Called twice a second, to show progress.
        say: Called with what the user should know.

    Raises:
        KeyboardInterrupt: the workers left because the user asked.
        CannotWrite: no worker could go on, for want of room or write access; quotes one of them.
        StudyError: every worker failed; quotes the end of a worker's log.
    """
    folder = local_folder(plan.artifacts) / study.study_name
    prepare_folder(folder)  # before processes are started in vain
    slots = [
        _Slot(index=index, device=device, log=folder / f"worker-{index}.log")
        for index, device in enumerate(spread_over_devices(plan.device, plan.workers))
    ]
    with _Interrupts() as interrupts:
        try:
            while not all(slot.done for slot in slots):
                _pass_on(interrupts, slots, say)
                for slot in slots:
                    _tend(slot, study, plan, leaving=interrupts.total > 0, say=say)
                on_poll()
                time.sleep(POLL_SECONDS)
        finally:
            _end(slots)
    on_poll()
    if interrupts.total:
        raise KeyboardInterrupt
    full = [slot.cannot_write for slot in slots if slot.cannot_write]
    if full and all(slot.cannot_write or slot.failed for slot in slots):
        raise CannotWrite(full[0])
    if all(slot.failed for slot in slots):
        raise StudyError(f"every worker failed; {slots[0].log} ends with:\n{_tail(slots[0].log)}")


def _pass_on(interrupts: _Interrupts, slots: list[_Slot], say: Callable[[str], None]) -> None:
    while interrupts.pending:
        interrupts.pending -= 1
        first = "Leaving: the workers finish their epoch; press Ctrl-C again to leave at once"
        say(first if interrupts.total == 1 else "Leaving at once")
        for slot in slots:
            if slot.process is not None and slot.process.poll() is None:
                slot.process.send_signal(signal.SIGINT)


def _tend(slot: _Slot, study: Study, plan: WorkerPlan, *, leaving: bool, say: Callable[[str], None]) -> None:
    """Start the slot's worker if it has none, or decide what its end means."""
    if slot.done:
        return
    if slot.process is None:
        if leaving:
            slot.done = True
        elif time.monotonic() >= slot.not_before:
            _start(slot, study.study_name, plan)
        return
    code = slot.process.poll()
    if code is None:
        return
    pid, slot.process = slot.process.pid, None
    words = _hear(slot)
    if code == CANNOT_WRITE:
        slot.cannot_write = words or f"{slot.log}: a worker could not write; see to it"
        if plan.workers > 1:  # else it is the end, and what the command ends with
            say(f"Worker {slot.index} has left: {slot.cannot_write}")
    if code == 0 or leaving or slot.cannot_write:
        slot.done = True
        return
    _mourn(slot, code, slot.restarts.delay_after(_deeds_of(study, pid)), say)


def _deeds_of(study: Study, pid: int) -> Deeds:
    try:
        return deeds_of(study, pid)
    except StorageUnreachable:  # nobody can tell; a longer wait suits a server that is away
        return Deeds(began=True, got_further=False)


def _mourn(slot: _Slot, code: int, delay_seconds: float | None, say: Callable[[str], None]) -> None:
    """Say how the slot's worker ended, and set the time of its next start if there is one."""
    how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    if delay_seconds is None:
        slot.done = slot.failed = True
        say(f"Worker {slot.index} ended again ({how}) and is given up; see {slot.log}")
        return
    slot.not_before = time.monotonic() + delay_seconds
    say(f"Worker {slot.index} ended ({how}); it starts again in {delay_seconds:.0f} s; see {slot.log}")


def _start(slot: _Slot, study: str, plan: WorkerPlan) -> None:
    threads = str(plan.threads_each())
    command = [sys.executable, "-m", "atml", "worker", study, "--index", str(slot.index)]
    command += ["--artifacts", str(plan.artifacts), "--device", slot.device, "--threads", threads]
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
