"""A worker within the test's own process."""

from contextlib import contextmanager

from atml.service.alive import Registration, Workers
from atml.service.signals import LeaveOnSignal
from atml.service.worker import WorkerSettings, work


@contextmanager
def worker_settings(storage, artifacts, leave=None):
    """Yield what a worker on the CPU is told."""
    with Registration(Workers(storage), number=0, device="cpu", threads=1) as registration:
        yield WorkerSettings(
            artifacts=artifacts,
            leave=leave or LeaveOnSignal(),
            registration=registration,
        )


def work_here(storage, stored, artifacts, leave=None):
    """Work on a study until it is done."""
    with worker_settings(storage, artifacts, leave) as settings:
        work(stored, settings)
