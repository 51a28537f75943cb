"""Identifying processes, and whether the process that runs a trial is alive."""

import os
import socket
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

import psutil

PID_NAMESPACE = Path("/proc/self/ns/pid")
BOOT = Path("/proc/sys/kernel/random/boot_id")
# Two readings of one process's start time differ by clock corrections; those of two processes by more.
START_TOLERANCE_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process, identified uniquely across machines.

    Args:
        host: Name of the machine or container.
        pid: Process number.
        namespace: Boot and PID namespace: containers may share a host name but have numbers of their own.
            Empty where the system has none.
        started: Start time in seconds since the boot, since process numbers are reused. The time since 1970
            would change for all running processes when the clock is set.
    """

    host: str
    pid: int
    namespace: str = ""
    started: float | None = None

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Return the process that `to_dict` wrote; other keys are ignored."""
        return cls(
            host=str(document["host"]),
            pid=int(document["pid"]),
            namespace=str(document.get("namespace", "")),
            started=document.get("started"),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the process as JSON."""
        return asdict(self)

    def is_local(self) -> bool:
        """Whether it is listed in this machine's process table while it runs."""
        here = this_process()
        return (self.host, self.namespace) == (here.host, here.namespace)

    def is_dead(self) -> bool:
        """Whether the process has certainly ended; False for processes of other machines."""
        return self.is_local() and not self._is_running()

    def _is_running(self) -> bool:
        try:
            found = psutil.Process(self.pid)
            if found.status() == psutil.STATUS_ZOMBIE:
                return False
            started = _seconds_since_boot(found)
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:
            return True
        return self.started is None or abs(started - self.started) <= START_TOLERANCE_SECONDS


def this_process() -> Process:
    """Return the current process."""
    return _describe(os.getpid())


@cache
def _describe(pid: int) -> Process:
    """Describe this process; `pid` keeps a forked child from reusing its parent's description."""
    try:
        namespace = f"{BOOT.read_text().strip()} {PID_NAMESPACE.readlink()}"
    except OSError:
        namespace = ""
    return Process(
        host=socket.gethostname(),
        pid=pid,
        namespace=namespace,
        started=round(_seconds_since_boot(psutil.Process(pid)), 2),
    )


def _seconds_since_boot(process: psutil.Process) -> float:
    return float(process.create_time() - psutil.boot_time())  # both move with the clock
