"""Leaving on signals: the first finishes the epoch, the second leaves at once."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from atml.errors import StorageUnreachable
from atml.interrupts import TERMINATING, handle_signals


class LeaveOnSignal:
    """Records Ctrl-C and termination; check `requested()` where it is safe to leave.

    The second signal raises KeyboardInterrupt wherever the process is. Later ones are ignored, since they
    would interrupt what that leads to, such as queueing the trial again. A supervised process also leaves
    when its supervisor is gone, since nobody would stop it then.
    """

    def __init__(self, supervisor_pid: int | None = None) -> None:
        self._signals = 0
        self._supervisor_pid = supervisor_pid

    def install(self) -> "LeaveOnSignal":
        """Handle Ctrl-C and termination from now on."""
        handle_signals((signal.SIGINT, *TERMINATING), self._on_signal)
        return self

    def requested(self) -> bool:
        """Whether to leave at the next safe point."""
        is_orphan = self._supervisor_pid is not None and os.getppid() != self._supervisor_pid
        return self._signals > 0 or is_orphan

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

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        if self._signals == 2:
            raise KeyboardInterrupt
