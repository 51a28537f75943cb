"""The workers of a storage: who is there, on which machine, and at which study.

They stand in a table of their own beside Optuna's. A trial's heartbeat tells that somebody trains it;
this tells of idle workers too, and of those between two trials.
"""

from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import sqlalchemy
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy import BigInteger, Column, ColumnElement, Float, Integer, MetaData, String, Table, select
from sqlalchemy.schema import CreateTable

from atml.search.processes import Process
from atml.service.storage.lean import READ_ONLY

BEAT_SECONDS = 15.0
LOST_SECONDS = 60.0  # without a beat for so long, a worker is taken for dead
FORGOTTEN_SECONDS = 600.0  # so long it is shown as lost

_WORKERS = Table(
    "atml_workers",
    MetaData(),
    Column("worker", String(32), primary_key=True),
    Column("host", String(255), nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("namespace", String(64), nullable=False),
    Column("started", Float(53)),
    Column("number", Integer, nullable=False),
    Column("device", String(64), nullable=False),
    Column("threads", Integer, nullable=False),
    Column("study", String(512)),
    Column("seen", Float(53), nullable=False),  # seconds since 1970, by the database's clock
)
# One clock for all: those of the machines may differ.
_NOW = {
    "postgresql": "EXTRACT(EPOCH FROM clock_timestamp())",
    "sqlite": "(julianday('now') - 2440587.5) * 86400.0",
}


@dataclass(frozen=True, kw_only=True)
class WorkerEntry:
    """A worker as it describes itself."""

    worker: str  # its identifier
    process: Process
    number: int
    device: str
    threads: int
    study: str | None = None  # None: it waits for one

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, the process's among them."""
        fields = asdict(self)
        del fields["process"]
        return {**fields, **self.process.to_dict()}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "WorkerEntry":
        """Return what `to_dict` was called on; other fields are passed over."""
        own = {name: fields[name] for name in ("worker", "number", "device", "threads", "study")}
        return cls(process=Process.from_dict(fields), **own)


@dataclass(frozen=True, kw_only=True)
class SeenWorker:
    """A worker as others see it."""

    entry: WorkerEntry
    last_seen_seconds: float  # ago

    @property
    def is_lost(self) -> bool:
        """Whether it ended without a word."""
        return self.last_seen_seconds > LOST_SECONDS or self.entry.process.is_dead()


class Registry(Protocol):
    """The workers of a storage, whatever way leads to them."""

    def beat(self, entry: WorkerEntry) -> None:
        """Say that a worker lives."""

    def leave(self, worker: str) -> None:
        """Say that a worker has gone."""

    def workers(self) -> list[SeenWorker]:
        """Return all workers that are there or were lost lately, by host and process number."""


class RegistryTable:
    """Reads and writes the table of workers.

    Args:
        engine: The storage's connections.

    Every method may raise SQLAlchemy's errors.
    """

    def __init__(self, engine: sqlalchemy.Engine) -> None:
        self._engine = engine
        self._reader = engine.execution_options(**{READ_ONLY: True})
        self._now: ColumnElement[float] = sqlalchemy.literal_column(_NOW[engine.name])

    def beat(self, entry: WorkerEntry) -> None:
        """Say that a worker lives; forget those that have been lost for long."""
        row = {**entry.to_dict(), "seen": self._now}
        with self._engine.begin() as connection:
            known = _WORKERS.update().where(_WORKERS.c.worker == entry.worker).values(row)
            if not connection.execute(known).rowcount:
                connection.execute(_WORKERS.insert().values(row))
            connection.execute(_WORKERS.delete().where(_WORKERS.c.seen < self._now - FORGOTTEN_SECONDS))

    def leave(self, worker: str) -> None:
        """Take a worker off the table."""
        with self._engine.begin() as connection:
            connection.execute(_WORKERS.delete().where(_WORKERS.c.worker == worker))

    def workers(self) -> list[SeenWorker]:
        """Return all workers that are there or were lost lately, by host and process number."""
        query = select(_WORKERS, (self._now - _WORKERS.c.seen).label("ago"))
        with self._reader.connect() as connection:
            rows = connection.execute(query.order_by(_WORKERS.c.host, _WORKERS.c.pid)).all()
        return [_seen(row) for row in rows if row.ago <= FORGOTTEN_SECONDS]


@runtime_checkable
class HasRegistry(Protocol):
    """A storage that knows a way to the table, but has no connections of its own."""

    registry: Registry


def registry_of(storage: BaseStorage) -> Registry:
    """Return the table of workers that belongs to a storage, which ATML opened."""
    if isinstance(storage, RDBStorage):
        return RegistryTable(storage.engine)
    if isinstance(storage, HasRegistry):
        return storage.registry
    raise TypeError(f"{type(storage).__name__} keeps no workers")


def create_table(engine: sqlalchemy.Engine) -> None:
    """Make the table of workers unless it is there."""
    with engine.execution_options(**{READ_ONLY: True}).connect() as connection:
        if sqlalchemy.inspect(connection).has_table(_WORKERS.name):
            return
    with engine.begin() as connection:
        connection.execute(CreateTable(_WORKERS, if_not_exists=True))


def _seen(row: sqlalchemy.Row[tuple[object, ...]]) -> SeenWorker:
    entry = WorkerEntry.from_dict(dict(row._mapping))
    return SeenWorker(entry=entry, last_seen_seconds=max(0.0, float(row._mapping["ago"])))
