"""Starting the worker processes of a study, and restarting those that die."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from optuna import Study
from optuna.trial import FrozenTrial

from atml.errors import CannotWrite, StorageUnreachable, StudyError
from atml.files import cannot_write, prepare_folder
from atml.interrupts import collected_signals
from atml.service.artifacts import local_folder
from atml.training import spread_over_devices
from atml.training.allocator import ALLOCATOR
from atml.tuning import records
from atml.tuning.processes import Process
from atml.tuning.retry import MOST_DEATHS, got_further
from atml.tuning.times import now

POLL_SECONDS = 0.5
FIRST_DELAY_SECONDS = 1.0  # before a dead worker is restarted
LONGEST_DELAY_SECONDS = 30.0
# A worker that does not even begin a trial has a problem that a restart does not solve.
MAX_STARTS_WITHOUT_TRIAL = 3
# A trial that kills its workers is retried MOST_DEATHS times; the restarts must outlast it.
MAX_DEATHS_WITHOUT_PROGRESS = MOST_DEATHS + 2
KILLING_SIGNAL = 3  # the first asks to leave after the epoch, the second at once
# Exit code of a supervised worker that cannot write (EX_CANTCREAT of sysexits.h); a restart would not
# help. It writes the reason into a pipe, since its log may be on the same full disk.
CANNOT_WRITE = 73
ERROR_PIPE = "ATML_ERROR_PIPE"  # environment variable with the pipe's file descriptor

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class WorkerPlan:
    """The settings of all workers of a launch."""

    storage: str
    artifacts: str | Path
    workers: int
    device: str = "auto"  # `auto` and `cuda` spread the workers over all GPUs
    train: str | None = None  # where the segments are now, if they have moved since the study was created


@dataclass
class _Slot:
    """One worker, including its restarts."""

    index: int
    device: str
    log: Path
    process: subprocess.Popen[bytes] | None = None
    started: datetime = field(default_factory=now)  # when the latest process was
    without_trial: int = 0  # deaths in a row before a trial was begun
    without_progress: int = 0  # deaths in a row without progress
    not_before: float = 0.0
    done: bool = False
    failed: bool = False
    error_pipe: int | None = None  # file descriptor to read
    cannot_write: str | None = None

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None


def launch(
    study: Study,
    plan: WorkerPlan,
    *,
    on_poll: Callable[[], None] = lambda: None,
    say: Say = lambda text: None,
) -> None:
    """Run the workers of a study until all have exited.

    A worker that dies is restarted with growing delays, until it has died too often without progress.
    The first Ctrl-C lets the workers finish their epoch, the second makes them exit at once, the third kills
    them.

    `on_poll` is called twice a second, to show progress; `say` receives messages for the user.

    Raises:
        KeyboardInterrupt: the user stopped the workers.
        CannotWrite: no worker could continue for lack of room or write access; quotes one of them.
        StudyError: every worker failed; quotes the end of a worker's log.
    """
    folder = local_folder(plan.artifacts) / study.study_name
    prepare_folder(folder)  # fail before any process is started
    slots = [
        _Slot(index=index, device=device, log=folder / f"worker-{index}.log")
        for index, device in enumerate(spread_over_devices(plan.device, plan.workers))
    ]
    with collected_signals() as signals:  # to forward them to the workers
        forwarded = 0
        try:
            while not all(slot.done for slot in slots):
                while forwarded < len(signals):
                    forwarded += 1
                    _interrupt(slots, forwarded, say=say)
                for slot in slots:
                    _tend(slot, study, plan, leaving=bool(signals), say=say)
                on_poll()
                time.sleep(POLL_SECONDS)
        finally:
            _end(slots)
    on_poll()
    if signals:
        raise KeyboardInterrupt
    _raise_if_failed(slots)


def _interrupt(slots: list[_Slot], times: int, say: Say) -> None:
    """Ask the workers to leave; the third time, when a database may keep them waiting, kill them."""
    first = "Leaving: the workers finish their epoch; press Ctrl-C again to leave at once"
    say({1: first, 2: "Leaving at once"}.get(times, "Killing the workers; their trials are queued again"))
    for slot in slots:
        if slot.process is not None and slot.is_running():
            slot.process.send_signal(signal.SIGINT if times < KILLING_SIGNAL else signal.SIGKILL)


def _tend(slot: _Slot, study: Study, plan: WorkerPlan, *, leaving: bool, say: Say) -> None:
    """Start the slot's worker if necessary, or handle its exit."""
    if slot.done or slot.is_running():
        return
    if slot.process is None:
        if leaving:
            slot.done = True
        elif time.monotonic() >= slot.not_before:
            _start(slot, study.study_name, plan)
        return
    code, pid, slot.process = slot.process.returncode, slot.process.pid, None
    error = _read_error(slot)
    if code == CANNOT_WRITE:
        slot.cannot_write = error or f"{slot.log}: a worker could not write; fix this"
        if plan.workers > 1:  # otherwise the command ends with this error
            say(f"Worker {slot.index} has stopped: {slot.cannot_write}")
    if code == 0 or leaving or slot.cannot_write:
        slot.done = True
        return
    _report_exit(slot, code, _delay_after_death(slot, study, pid), say)


def _delay_after_death(slot: _Slot, study: Study, pid: int) -> float | None:
    """Count the death of a worker; return the seconds to wait before its restart, None for no restart."""
    began, progressed = _history(slot, study, pid)
    slot.without_trial = 0 if began else slot.without_trial + 1
    slot.without_progress = 0 if progressed else slot.without_progress + 1
    if slot.without_trial >= MAX_STARTS_WITHOUT_TRIAL or slot.without_progress >= MAX_DEATHS_WITHOUT_PROGRESS:
        return None
    return min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0 ** max(0, slot.without_progress - 1))


def _history(slot: _Slot, study: Study, pid: int) -> tuple[bool, bool]:
    """Return whether the slot's worker began a trial, and whether it finished one or trained a new epoch."""
    try:
        own = [trial for trial in study.get_trials(deepcopy=False) if _is_of(slot, pid, trial)]
    except StorageUnreachable:  # unknown; a longer delay suits an unreachable server
        return True, False
    return bool(own), any(records.was_trained(trial) or got_further(trial) for trial in own)


def _is_of(slot: _Slot, pid: int, trial: FrozenTrial) -> bool:
    """Whether process `pid` of the slot ran a trial; its number may have been another worker's earlier."""
    worker, began = trial.user_attrs.get(records.WORKER), trial.datetime_start
    if worker is None or began is None or began < slot.started:
        return False
    process = Process.from_dict(worker)
    return process.is_local() and process.pid == pid


def _report_exit(slot: _Slot, code: int, delay_seconds: float | None, say: Say) -> None:
    """Report how the slot's worker ended, and schedule its restart if there is one."""
    how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    if delay_seconds is None:
        slot.done = slot.failed = True
        say(f"Worker {slot.index} ended again ({how}) and is not restarted; see {slot.log}")
        return
    slot.not_before = time.monotonic() + delay_seconds
    say(f"Worker {slot.index} ended ({how}); restarting in {delay_seconds:.0f} s; see {slot.log}")


def _start(slot: _Slot, study: str, plan: WorkerPlan) -> None:
    # -P: a user's file such as random.py in the working folder is not the library of that name.
    command = [sys.executable, "-P", "-m", "atml", "worker", study, "--index", str(slot.index)]
    command += ["--artifacts", str(plan.artifacts), "--device", slot.device]
    command += ["--supervised-by", str(os.getpid()), *(["--train", plan.train] if plan.train else [])]
    # In the environment, since every user of the machine can read a password on a command line.
    environment = {**ALLOCATOR, **os.environ, "ATML_STORAGE": plan.storage, "OMP_NUM_THREADS": "1"}
    places: list[object] = [*sys.path]  # Python ignores what is not text there, such as a Path
    environment["PYTHONPATH"] = os.pathsep.join(one for one in places if isinstance(one, str) and one)
    slot.started = now()
    slot.error_pipe, theirs = os.pipe()
    try:
        with _open_log(slot.log) as log:
            slot.process = subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**environment, ERROR_PIPE: str(theirs)},
                pass_fds=(theirs,),
                # Ctrl-C must reach a worker only once, from here and not also from the terminal.
                start_new_session=True,
            )
    finally:
        os.close(theirs)


def _open_log(path: Path) -> BinaryIO:
    try:
        return path.open("ab")
    except OSError as error:
        raise cannot_write(path, error) from None


def _read_error(slot: _Slot) -> str:
    """Return the error that ended the slot's worker, if it wrote one."""
    if slot.error_pipe is None:
        return ""
    with os.fdopen(slot.error_pipe, "rb") as pipe:
        slot.error_pipe = None
        os.set_blocking(pipe.fileno(), False)  # an orphaned child may hold the other end
        return (pipe.read() or b"").decode()


def _end(slots: list[_Slot]) -> None:
    """Kill all remaining workers."""
    for slot in slots:
        if slot.process is not None and slot.is_running():
            slot.process.kill()
            slot.process.wait()
        _read_error(slot)


def _raise_if_failed(slots: list[_Slot]) -> None:
    full = [slot.cannot_write for slot in slots if slot.cannot_write]
    if full and all(slot.cannot_write or slot.failed for slot in slots):
        raise CannotWrite(full[0])
    if all(slot.failed for slot in slots):
        lines = slots[0].log.read_text(errors="replace").splitlines()[-12:]
        raise StudyError("\n".join([f"every worker failed; {slots[0].log} ends with:", *lines]))
