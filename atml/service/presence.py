"""A worker's own entry among the workers, kept fresh while it lives."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from types import TracebackType

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import SQLAlchemyError

from atml.errors import AtmlError
from atml.search.processes import this_process
from atml.service.storage.registry import BEAT_SECONDS, Registry, WorkerEntry


class Presence:
    """Tells the others, now and then, that this worker lives and which study it serves.

    A database that is away is no reason to stop training: what cannot be said now is said later.

    Args:
        registry: The table of workers.
        number: The worker's own.
        device: On which it trains.
        threads: With which it trains.
    """

    def __init__(self, registry: Registry, *, number: int, device: str, threads: int) -> None:
        self._registry = registry
        self._entry = WorkerEntry(
            worker=uuid.uuid4().hex, process=this_process(), number=number, device=device, threads=threads
        )
        self._over = threading.Event()
        self._turn = threading.Lock()  # a beat must not follow the farewell, nor mix two studies
        self._thread = threading.Thread(target=self._keep_beating, name="atml-presence", daemon=True)

    def __enter__(self) -> "Presence":
        with _unless_away():
            self._replace_predecessors()
        self._beat()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        with self._turn, _unless_away():
            self._registry.leave(self._entry.worker)

    @contextmanager
    def at(self, study: str) -> Iterator[None]:
        """Be at a study for as long as the block lasts."""
        self._move_to(study)
        try:
            yield
        finally:
            self._move_to(None)

    def _replace_predecessors(self) -> None:
        """Take dead workers of this machine off the table in whose place this one was started."""
        for seen in self._registry.workers():
            if seen.entry.number == self._entry.number and seen.entry.process.is_dead():
                self._registry.leave(seen.entry.worker)

    def _move_to(self, study: str | None) -> None:
        with self._turn:
            self._entry = replace(self._entry, study=study)
        self._beat()

    def _keep_beating(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            self._beat()

    def _beat(self) -> None:
        with self._turn, _unless_away():
            if not self._over.is_set():
                self._registry.beat(self._entry)


@contextmanager
def _unless_away() -> Iterator[None]:
    with suppress(SQLAlchemyError, StorageInternalError, AtmlError):
        yield
