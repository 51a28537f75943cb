"""Leaving when asked: the first signal finishes the epoch, the second leaves at once."""

import os
import signal
from types import FrameType


class LeaveOnSignal:
    """Notes SIGINT and SIGTERM; ask `requested()` where it is safe to leave.

    The second signal raises KeyboardInterrupt wherever the process is. A supervised process also
    leaves when its supervisor is gone, since nobody would stop it then.
    """

    def __init__(self, supervisor_pid: int | None = None) -> None:
        self._signals = 0
        self._supervisor_pid = supervisor_pid

    def install(self) -> "LeaveOnSignal":
        """Handle SIGINT and SIGTERM from now on."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        return self

    def requested(self) -> bool:
        """Whether to leave at the next good moment."""
        return self._signals > 0 or self._is_orphan()

    def _is_orphan(self) -> bool:
        return self._supervisor_pid is not None and os.getppid() != self._supervisor_pid

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        if self._signals > 1:
            raise KeyboardInterrupt
