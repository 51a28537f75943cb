"""Opening a storage so that several processes can work on it without losing or repeating a trial."""

import random
import re
import sqlite3
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy import exc as sqlalchemy_errors

from atml.errors import CannotWrite, StorageError
from atml.search.retry import queue_after_death
from atml.service.storage.lean import READ_ONLY
from atml.service.storage.patience import COMMAND_PATIENCE_SECONDS
from atml.service.storage.postgres import DRIVER, WORKER_THREADS, open_postgres, shown
from atml.service.storage.registry import create_table
from atml.service.storage.sqlite import SqliteStorage, explanation

DEFAULT_URL = "sqlite:///atml.db"
SQLITE_TIMEOUT_SECONDS = 120
OPEN_ATTEMPTS = 20
HEARTBEAT_SECONDS = 15
GRACE_SECONDS = 60
PROXY = "grpc://"

_HEARTBEATS: dict[str, Any] = {
    "heartbeat_interval": HEARTBEAT_SECONDS,
    "grace_period": GRACE_SECONDS,
    "heartbeat_stale_trial_callback": queue_after_death,
}


def open_storage(
    url: str,
    *,
    patience_seconds: float = COMMAND_PATIENCE_SECONDS,
    wait_for_server: bool = False,
    give_up: Callable[[], bool] = lambda: False,
) -> BaseStorage:
    """Open the database at `url`, or the proxy in front of it.

    Args:
        url: `grpc://HOST:PORT` of an `atml proxy`, or what `open_database` takes.
        patience_seconds: How long to try again when a server stops answering.
        wait_for_server: Be as patient with a server that does not answer yet.
        give_up: Asked while waiting; once true, nothing is waited for any more.

    Raises:
        StorageUnreachable: no server answers.
        StorageError: the URL, the driver or the database is at fault; its password is not shown.
    """
    patience: dict[str, Any] = {
        "patience_seconds": patience_seconds,
        "wait_for_server": wait_for_server,
        "give_up": give_up,
    }
    if not is_proxy(url):
        return open_database(url, **patience)
    try:
        from atml.service.storage.grpc import HeartbeatOptions, open_proxied
    except ImportError:
        raise StorageError(f"{url}: gRPC is not installed: pip install 'atml[grpc]'") from None
    return open_proxied(url, heartbeats=HeartbeatOptions(**_HEARTBEATS), **patience)


def is_proxy(url: str) -> bool:
    """Whether a storage URL is that of a proxy, not of a database."""
    return url.startswith(PROXY)


def open_database(
    url: str,
    *,
    patience_seconds: float = COMMAND_PATIENCE_SECONDS,
    wait_for_server: bool = False,
    give_up: Callable[[], bool] = lambda: False,
    threads: int = WORKER_THREADS,
) -> RDBStorage:
    """Open the database at `url`, creating its tables if there are none.

    SQLite serves any number of processes on one machine: write-ahead logging lets them read while
    one writes, and `BEGIN IMMEDIATE` takes the write lock before anything is read, without which
    four processes ran a fifth of their trials twice. PostgreSQL serves any number of machines.

    Args:
        url: `sqlite:///FILE`, or `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`.
        patience_seconds: How long to try again when a PostgreSQL server stops answering.
        wait_for_server: Be as patient with a server that does not answer yet.
        give_up: Asked while waiting; once true, nothing is waited for any more.
        threads: How many will use it at once.

    Raises:
        StorageUnreachable: no PostgreSQL server answers.
        CannotWrite: the disk of an SQLite database is full, read-only or gone.
        StorageError: the URL, the driver or the database is at fault; its password is not shown.
    """
    database = _parsed(url)
    try:
        if database.get_backend_name() == "sqlite":
            return _open_sqlite(database, **_HEARTBEATS)
        return open_postgres(
            database,
            patience_seconds=patience_seconds,
            wait_for_server=wait_for_server,
            give_up=give_up,
            threads=threads,
            **_HEARTBEATS,
        )
    except RuntimeError as error:  # Optuna's word for another schema version
        raise StorageError(f"{shown(database)}: {_schema_advice(error)}") from None


def _parsed(url: str) -> sqlalchemy.URL:
    """Return a URL of a kind that is supported, its driver filled in."""
    try:
        parsed = sqlalchemy.make_url(url)
    except (sqlalchemy_errors.ArgumentError, ValueError):
        raise StorageError(
            "the storage is not a database URL; "
            "write sqlite:///FILE, postgresql://USER@HOST/DATABASE or grpc://HOST:PORT"
        ) from None
    backend, _, driver = parsed.drivername.partition("+")
    if backend == "sqlite":
        return _checked_sqlite(parsed)
    if backend not in ("postgresql", "postgres"):
        raise StorageError(f"the storage must be SQLite or PostgreSQL but got {backend}")
    if driver not in ("", DRIVER):
        raise StorageError(f"{shown(parsed)}: the driver must be {DRIVER} but got {driver}")
    if not parsed.database:
        raise StorageError(f"{shown(parsed)}: names no database; write postgresql://USER@HOST/DATABASE")
    return parsed.set(drivername=f"postgresql+{DRIVER}")


def _checked_sqlite(url: sqlalchemy.URL) -> sqlalchemy.URL:
    folder = Path(url.database or "").parent
    if not folder.is_dir():
        raise StorageError(f"{shown(url)}: the folder {folder} does not exist; create it first")
    return url


def _open_sqlite(url: sqlalchemy.URL, **options: Any) -> RDBStorage:
    for attempt in range(1, OPEN_ATTEMPTS + 1):
        try:
            storage = _sqlite_storage(url, **options)
            _serialise_writers(storage.engine)
            create_table(storage.engine)
            storage.explain_failures()
            return storage
        except (sqlalchemy_errors.SQLAlchemyError, StorageInternalError) as error:
            reason = _reason(error)
            # Processes that start together create the tables together; the next attempt finds them.
            if attempt == OPEN_ATTEMPTS or not re.search(r"already exists|UNIQUE|locked", reason):
                told = explanation(shown(url), error.__cause__ or error)
                if isinstance(told, CannotWrite) and not Path(url.database or "").is_dir():
                    raise told from None
                raise StorageError(f"{shown(url)}: cannot be opened: {reason}") from None
            time.sleep(random.uniform(0.1, 0.3))
    raise AssertionError


def _sqlite_storage(url: sqlalchemy.URL, **options: Any) -> SqliteStorage:
    full = url.render_as_string(hide_password=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # heartbeats are marked as such
        return SqliteStorage(
            full.replace("{", "{{").replace("}", "}}"),  # Optuna takes the URL for a format string
            shown=shown(url),
            engine_kwargs={"connect_args": {"timeout": SQLITE_TIMEOUT_SECONDS}},
            **options,
        )


def _reason(error: Exception) -> str:
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    return str(getattr(cause, "orig", None) or cause).strip().splitlines()[0]


def _schema_advice(error: RuntimeError) -> str:
    """Say in one sentence how to make this Optuna and the tables fit."""
    made_by = re.search(r"set up by optuna ([^)]+)", str(error))
    maker = f"Optuna {made_by.group(1)}" if made_by else "another Optuna"
    if "storage upgrade" in str(error):
        return (
            f"its tables were made by {maker}; back the database up, then run: "
            "optuna storage upgrade --storage URL"
        )
    return f"its tables were made by {maker}, newer than the one installed: pip install --upgrade optuna"


def _serialise_writers(engine: sqlalchemy.Engine) -> None:
    listen: Callable[..., Any] = sqlalchemy.event.listen
    listen(engine, "connect", _on_connect)
    listen(engine, "begin", _on_begin)
    engine.dispose()  # connections made before now lack these settings


def _on_connect(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # the driver's own BEGIN would come too late
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


def _on_begin(connection: sqlalchemy.Connection) -> None:
    # Readers see the last commit, whoever writes meanwhile; only writers stand in line.
    read_only = connection.get_execution_options().get(READ_ONLY)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
