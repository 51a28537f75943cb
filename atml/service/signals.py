"""Leaving on signals: the first finishes the epoch, the second leaves at once."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from atml.errors import StorageUnreachable

# They ask a process to leave: a service manager, and the end of the terminal.
TERMINATING = (signal.SIGTERM, signal.SIGHUP)
ORPHAN_LOOK_SECONDS = 1.0
ORPHAN_GRACE_SECONDS = 120.0  # longer than an epoch should last


def handle_signals(
    numbers: Iterable[signal.Signals], handler: Callable[[int, FrameType | None], object]
) -> dict[signal.Signals, Any]:
    """Handle signals, except for the end of the terminal under `nohup`; return their former handlers."""
    ignored = {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else set()
    return {number: signal.signal(number, handler) for number in numbers if number not in ignored}


class LeaveOnSignal:
    """Records Ctrl-C and termination; check `requested()` where it is safe to leave.

    The second signal raises KeyboardInterrupt wherever the process is. Later ones are ignored, since they
    would interrupt what that leads to, such as queueing the trial again. A supervised process also leaves
    when its supervisor is gone, since nobody would stop it then. If it does not reach a safe point in time,
    it exits anyway, and its trial is queued again by others.
    """

    def __init__(self, supervisor_pid: int | None = None) -> None:
        self._signals = 0
        self._supervisor_pid = supervisor_pid

    def install(self) -> "LeaveOnSignal":
        """Handle Ctrl-C and termination from now on."""
        handle_signals((signal.SIGINT, *TERMINATING), self._on_signal)
        if self._supervisor_pid is not None:
            threading.Thread(target=self._end_as_orphan, name="atml-orphan-watch", daemon=True).start()
        return self

    def requested(self) -> bool:
        """Whether to leave at the next safe point."""
        return self._signals > 0 or self._is_orphan()

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Raise KeyboardInterrupt after the block if asked to leave, also if the storage is away then."""
        try:
            yield
        except StorageUnreachable:
            if not self.requested():
                raise
        if self.requested():
            raise KeyboardInterrupt

    def _is_orphan(self) -> bool:
        return self._supervisor_pid is not None and os.getppid() != self._supervisor_pid

    def _end_as_orphan(self) -> None:
        while not self._is_orphan():
            time.sleep(ORPHAN_LOOK_SECONDS)
        time.sleep(ORPHAN_GRACE_SECONDS)
        os._exit(1)  # wherever it hangs

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        if self._signals == 2:
            raise KeyboardInterrupt
