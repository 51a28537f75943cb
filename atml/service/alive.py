"""Tracks which workers are alive, and queues the trials of dead workers again.

A worker writes a row when it starts and renews it every 15 s. A trial records the process that trains
it. That process is dead if this machine's process table says so or, on other machines, if its row was not
renewed for a minute by the database's clock. Loops that look for work call `close_dead_trials` first.
"""

import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace

import sqlalchemy
from optuna import Study
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import ColumnElement, select
from sqlalchemy.exc import SQLAlchemyError

from atml.errors import AtmlError
from atml.service.storage import Storage
from atml.service.storage.sqlite import reading
from atml.service.storage.workers import WORKERS
from atml.tuning import records
from atml.tuning.failures import deaths_in_words
from atml.tuning.processes import Process, this_process
from atml.tuning.records import PrunedBy
from atml.tuning.retry import MOST_DEATHS, deaths_of, retry_after_death, retry_after_interruption
from atml.tuning.times import now

HEARTBEAT_SECONDS = 15.0
LOST_SECONDS = 60.0  # time without a heartbeat after which a worker counts as dead
# After an outage workers need time for a heartbeat before any of them counts as dead.
SETTLE_SECONDS = 60.0
KEPT_SECONDS = 600.0  # how long a lost worker is listed
_AWAY = (SQLAlchemyError, StorageInternalError, AtmlError)  # the database does not answer

# The database's clock for all, since those of the machines may differ.
_NOW = {
    "postgresql": "EXTRACT(EPOCH FROM clock_timestamp())",
    "sqlite": "(julianday('now') - 2440587.5) * 86400.0",
}
_UPTIME = {
    "postgresql": "EXTRACT(EPOCH FROM clock_timestamp() - pg_postmaster_start_time())",
    "sqlite": "1e9",
}


@dataclass(frozen=True, kw_only=True)
class WorkerRow:
    """A worker as it describes itself, and when it was last seen."""

    worker: str  # its identifier
    process: Process
    number: int  # seeds its sampler
    device: str
    threads: int  # CPU threads to train with
    study: str | None = None  # None while it waits for one
    last_seen_seconds: float = 0.0  # ago

    @property
    def is_silent(self) -> bool:
        """Whether it has sent no heartbeat for too long."""
        return self.last_seen_seconds > LOST_SECONDS

    @property
    def is_lost(self) -> bool:
        """Whether it ended without removing its row."""
        return self.is_silent or self.process.is_dead()


class Workers:
    """The workers of a storage."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._now: ColumnElement[float] = sqlalchemy.literal_column(_NOW[storage.engine.name])
        self._uptime: ColumnElement[float] = sqlalchemy.literal_column(_UPTIME[storage.engine.name])

    def beat(self, worker: WorkerRow) -> None:
        """Renew a worker's row, and delete old ones."""
        fields = {**asdict(worker), **worker.process.to_dict(), "seen": self._now}
        row = {column.name: fields[column.name] for column in WORKERS.columns}
        with self.storage.engine.begin() as connection:
            known = WORKERS.update().where(WORKERS.c.worker == worker.worker).values(row)
            if not connection.execute(known).rowcount:
                connection.execute(WORKERS.insert().values(row))
            connection.execute(WORKERS.delete().where(WORKERS.c.seen < self._now - KEPT_SECONDS))

    def leave(self, worker: str) -> None:
        """Remove a worker's row."""
        with self.storage.engine.begin() as connection:
            connection.execute(WORKERS.delete().where(WORKERS.c.worker == worker))

    def all(self) -> list[WorkerRow]:
        """Return all workers that are alive or were lost within ten minutes, by host and process number."""
        # The database's clock may have been set back.
        ago = sqlalchemy.func.abs(self._now - WORKERS.c.seen).label("ago")
        query = select(WORKERS, ago).where(ago <= KEPT_SECONDS).order_by(WORKERS.c.host, WORKERS.c.pid)
        with reading(), self.storage.engine.connect() as connection:
            rows = [dict(row) for row in connection.execute(query).mappings()]
        own = ("worker", "number", "device", "threads", "study")
        return [
            WorkerRow(
                process=Process.from_dict(row),
                last_seen_seconds=float(row["ago"]),
                **{name: row[name] for name in own},
            )
            for row in rows
        ]

    def server_uptime(self) -> float:
        """Return for how many seconds the database server has been running."""
        with reading(), self.storage.engine.connect() as connection:
            return float(connection.execute(select(self._uptime)).scalar_one())


class Registration:
    """A worker's own row, renewed while the worker lives.

    Training continues while the database is unreachable; the row is renewed later.
    """

    def __init__(self, workers: Workers, *, number: int, device: str, threads: int) -> None:
        self._workers = workers
        self.row = WorkerRow(
            worker=uuid.uuid4().hex, process=this_process(), number=number, device=device, threads=threads
        )
        self._over = threading.Event()
        self._turn = threading.Lock()  # no heartbeat may follow the end or mix two studies
        self._thread = threading.Thread(target=self._keep_beating, name="atml-heartbeat", daemon=True)

    def __enter__(self) -> "Registration":
        self._workers.storage.retry(lambda: self._workers.beat(self.row))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with self._turn, suppress(*_AWAY):
            self._workers.leave(self.row.worker)

    @contextmanager
    def at(self, study: str) -> Iterator[None]:
        """Register the study served during the block."""
        self._move_to(study)
        try:
            yield
        finally:
            self._move_to(None)

    def _move_to(self, study: str | None) -> None:
        with self._turn:
            self.row = replace(self.row, study=study)
        self._beat()

    def _keep_beating(self) -> None:
        while not self._over.wait(HEARTBEAT_SECONDS):
            self._beat()

    def _beat(self) -> None:
        with self._turn, suppress(*_AWAY):
            if not self._over.is_set():
                self._workers.storage.once(lambda: self._workers.beat(self.row))


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A study's trials after those of dead workers were closed."""

    trials: list[FrozenTrial]
    closed: int
    queued: int  # of the closed ones; those that keep killing their workers are ended for good
    is_certain: bool  # False if a silent worker may only be slow to renew its row after an outage


def close_dead_trials(study: Study) -> Checked:
    """Close every trial whose worker is dead, on any machine, and queue it again.

    Raises:
        StorageUnreachable: the database server was unreachable for too long.
    """
    trials = study.get_trials(deepcopy=False)
    dead, is_certain = dead_trials(study, trials)
    ends = [end for trial in dead if (end := _close(study, trial)) is not None]
    if ends:
        trials = study.get_trials(deepcopy=False)
    queued = ends.count(TrialState.FAIL)
    return Checked(trials=trials, closed=len(ends), queued=queued, is_certain=is_certain)


def dead_trials(study: Study, trials: Sequence[FrozenTrial]) -> tuple[list[FrozenTrial], bool]:
    """Return the running trials that nobody trains, and whether it is certain that no others are.

    Not to be called while this process trains one.

    Raises:
        StorageUnreachable: the database server was unreachable for too long.
    """
    running = [trial for trial in trials if trial.state == TrialState.RUNNING]
    local = {one.number: process for one in running if (process := _process_of(one)) and process.is_local()}
    # Who looks for dead workers trains nothing: what this process still holds, it could not close.
    left = [number for number, process in local.items() if process == this_process() or process.is_dead()]
    dead = [trial for trial in running if trial.number in left]
    elsewhere = [trial for trial in running if trial.number not in local]
    if not elsewhere:  # the process table says enough
        return dead, True
    silent, is_certain = _silent(storage_of(study), elsewhere)
    return (dead + silent if is_certain else dead), is_certain


def storage_of(study: Study) -> Storage:
    """Return the storage of a study that ATML opened."""
    storage = study._storage  # Optuna has no public accessor
    if not isinstance(storage, Storage):
        raise TypeError(f"{type(storage).__name__} keeps no workers")
    return storage


def _process_of(trial: FrozenTrial) -> Process | None:
    """Return the process that trains a trial; None until it has recorded itself."""
    worker = trial.user_attrs.get(records.WORKER)
    return None if worker is None else Process.from_dict(worker)


def _silent(storage: Storage, trials: list[FrozenTrial]) -> tuple[list[FrozenTrial], bool]:
    """Return those whose workers send no heartbeats, and whether that is sure since no outage was recent."""
    workers = Workers(storage)
    rows = {one.process: one for one in storage.retry(workers.all)}
    silent = [trial for trial in trials if _is_silent(trial, rows)]
    if not silent:
        return [], True
    uptime = storage.retry(workers.server_uptime)
    return silent, min(uptime, storage.seconds_since_outage) > SETTLE_SECONDS


def _is_silent(trial: FrozenTrial, rows: dict[Process, WorkerRow]) -> bool:
    process = _process_of(trial)
    if process is not None and process in rows:
        return rows[process].is_silent
    # Its worker has left, was killed before recording itself on the trial, or has not done so yet.
    started = trial.datetime_start or now()
    return (now() - started).total_seconds() > LOST_SECONDS


def _close(study: Study, trial: FrozenTrial) -> TrialState | None:
    """Fail a trial and queue it again; return how it was ended, None if another process did so first.

    A trial that keeps killing its workers is pruned instead.
    """
    storage, identifier, deaths = storage_of(study), trial._trial_id, deaths_of(trial)
    try:
        if _process_of(trial) == this_process():  # the database refused when the trial was interrupted
            storage.fail_trial(study._study_id, identifier, retry_after_interruption(trial))
            return TrialState.FAIL
        if deaths > MOST_DEATHS:
            because = deaths_in_words(deaths)
            storage.set_trial_user_attr(identifier, records.PRUNED_BY, PrunedBy.ERROR.value)
            storage.set_trial_user_attr(identifier, records.PRUNED_BECAUSE, because)
            study.tell(trial.number, state=TrialState.PRUNED)
            return TrialState.PRUNED
        storage.fail_trial(study._study_id, identifier, retry_after_death(trial))
    except (ValueError, UpdateFinishedTrialError):
        return None
    return TrialState.FAIL
