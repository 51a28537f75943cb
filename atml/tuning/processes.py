"""Telling whether the process that holds a trial still lives."""

import os
import socket
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

import psutil

PID_NAMESPACE = Path("/proc/self/ns/pid")
# Two readings of one process's start differ by the clock's corrections, two processes by more.
START_TOLERANCE_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process, told apart from all others on any machine.

    Args:
        host: Name of the machine or container.
        pid: Process number.
        namespace: Of process numbers: containers may share a host's name, but not their numbers. Empty
            where the system has no such thing.
        started: When it began, in seconds since 1970: process numbers are given out again.
    """

    host: str
    pid: int
    namespace: str = ""
    started: float | None = None

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Return the process that `to_dict` wrote, whatever else stands beside it."""
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
        """Whether this machine's process table lists it while it runs."""
        here = this_process()
        return (self.host, self.namespace) == (here.host, here.namespace)

    def is_dead(self) -> bool:
        """Whether it is certain that the process has ended: of another machine's, nobody here knows."""
        return self.is_local() and not self._is_running()

    def _is_running(self) -> bool:
        try:
            found = psutil.Process(self.pid)
            if found.status() == psutil.STATUS_ZOMBIE:
                return False
            started = found.create_time()
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:
            return True
        return self.started is None or abs(started - self.started) <= START_TOLERANCE_SECONDS


def this_process() -> Process:
    """Return the process that asks."""
    return _describe(os.getpid())


@cache
def _describe(pid: int) -> Process:
    """Describe this process; its number is given so that a forked child is not taken for its parent."""
    try:
        namespace = str(PID_NAMESPACE.readlink())
    except OSError:
        namespace = ""
    return Process(
        host=socket.gethostname(),
        pid=pid,
        namespace=namespace,
        started=round(psutil.Process(pid).create_time(), 2),
    )
