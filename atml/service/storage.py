"""Opening a storage so that several processes can work on it without losing or repeating a trial."""

import sqlite3
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy
from optuna.exceptions import ExperimentalWarning
from optuna.storages import RDBStorage
from sqlalchemy import exc as sqlalchemy_errors

from atml.errors import StorageError
from atml.search.retry import queue_after_death

DEFAULT_URL = "sqlite:///atml.db"
SQLITE_TIMEOUT_SECONDS = 120
HEARTBEAT_SECONDS = 15
GRACE_SECONDS = 60


def open_storage(url: str) -> RDBStorage:
    """Open the database at `url`, creating its tables if there are none.

    SQLite serves any number of processes on one machine: write-ahead logging lets them read while
    one writes, and `BEGIN IMMEDIATE` takes the write lock before anything is read, without which
    four processes ran a fifth of their trials twice.

    Raises:
        StorageError: the URL, the driver or the database is at fault; its password is not shown.
    """
    shown = _checked(url)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # heartbeats are marked as such
            storage = RDBStorage(
                url,
                engine_kwargs=_engine_options(url),
                heartbeat_interval=HEARTBEAT_SECONDS,
                grace_period=GRACE_SECONDS,
                heartbeat_stale_trial_callback=queue_after_death,
            )
    except ImportError:
        raise StorageError(
            f"{shown}: its database driver is not installed; for PostgreSQL: pip install 'atml[postgres]'"
        ) from None
    except sqlalchemy_errors.SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise StorageError(f"{shown}: cannot be opened: {reason}") from None
    except RuntimeError as error:  # Optuna's word for another schema version
        raise StorageError(f"{shown}: {error}; back it up, then run: optuna storage upgrade") from None
    if url.startswith("sqlite"):
        _serialise_writers(storage.engine)
    return storage


def _checked(url: str) -> str:
    """Return `url` without its password, fit to be shown."""
    try:
        parsed = sqlalchemy.make_url(url)
    except sqlalchemy_errors.ArgumentError:
        raise StorageError(
            "the storage is not a database URL; write sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE"
        ) from None
    backend = parsed.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise StorageError(f"the storage must be SQLite or PostgreSQL but got {backend}")
    folder = Path(parsed.database or "").parent
    if backend == "sqlite" and not folder.is_dir():
        raise StorageError(f"{url}: the folder {folder} does not exist; create it first")
    return parsed.render_as_string(hide_password=True)


def _engine_options(url: str) -> dict[str, Any]:
    if url.startswith("sqlite"):
        return {"connect_args": {"timeout": SQLITE_TIMEOUT_SECONDS}}
    return {"pool_size": 2, "max_overflow": 2, "pool_pre_ping": True}


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
    connection.exec_driver_sql("BEGIN IMMEDIATE")
