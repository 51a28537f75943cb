"""An SQLite file that several processes of one machine can share."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from urllib.parse import quote

import sqlalchemy
from sqlalchemy.event import listen, listens_for

from atml.errors import AtmlError, CannotWrite, StorageError, StorageUnreachable
from atml.service.storage.database import Database, shown

DRIVER = "pysqlite"
LOCK_SECONDS = 120  # how long to wait for another writer

# By SQLite's primary result codes: errors that can be fixed at the disk.
_REASONS = {
    sqlite3.SQLITE_FULL: "its disk is full; make room there",
    sqlite3.SQLITE_IOERR: "its disk is full or fails; make room there",
    sqlite3.SQLITE_READONLY: "the file or its disk is read-only; grant write access",
    sqlite3.SQLITE_PERM: "permission denied; grant write access",
    sqlite3.SQLITE_CANTOPEN: "its folder is full, read-only or gone; make room there or grant write access",
}
_PRIMARY = 0xFF  # the higher bits only add detail
# A process that outlives a study knows its trials by their ids, and would take a new study's for them.
_NEVER_REUSED = {"studies": "study_id", "trials": "trial_id"}

_FILE = "file"  # of a connection: its path, and which file that was

_is_reading = ContextVar("_is_reading", default=False)


def connect(url: sqlalchemy.URL, *, must_exist: bool = False) -> Database:
    """Open the file at `url` for Optuna, creating it and its tables if there are none and none `must_exist`.

    Write-ahead logging lets processes read while one writes, and `BEGIN IMMEDIATE` takes the write
    lock before anything is read. Without it four processes ran a fifth of their trials twice.
    """
    database = Database(
        _url_to_open(url) if must_exist else url,
        explain=_explain,
        engine_kwargs={"connect_args": {"timeout": LOCK_SECONDS}},
        must_exist=must_exist,
    )
    listen(database.engine, "connect", _on_connect)
    listen(database.engine, "begin", _on_begin)
    database.engine.dispose()  # connections made before now lack these settings
    database.shown = shown(url)
    return database


def _url_to_open(url: sqlalchemy.URL) -> sqlalchemy.URL:
    """Return the URL to open a file with: only to read where nothing can be written, as on a read-only disk.

    Unless another process uses it, SQLite must then be told that nobody will change it (`immutable`).
    """
    path = Path(url.database or "").absolute()
    is_in_use = Path(f"{path}-shm").exists()
    if os.access(path, os.W_OK) and (is_in_use or os.access(path.parent, os.W_OK)):
        return url
    options = {"uri": "true", "mode": "ro"} | ({} if is_in_use else {"immutable": "1"})
    return url.set(database=f"file:{quote(str(path))}", query=options)


def is_read_only(engine: sqlalchemy.Engine) -> bool:
    """Whether an SQLite file was opened only to read."""
    return engine.url.query.get("mode") == "ro"


@contextmanager
def reading(only: bool = True) -> Iterator[None]:
    """Take no write lock within the block, unless `only` is False."""
    token = _is_reading.set(only)
    try:
        yield
    finally:
        _is_reading.reset(token)


def explanation(shown: str, error: BaseException | None) -> AtmlError | None:
    """Return the error to raise for an SQLite error; None leaves it to Optuna."""
    if not isinstance(error, sqlite3.DatabaseError) or isinstance(
        error, sqlite3.IntegrityError | sqlite3.ProgrammingError
    ):
        return None
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _PRIMARY
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StorageUnreachable(f"{shown}: another process keeps the database locked; try again later")
    if code in _REASONS:
        return CannotWrite(f"cannot write {shown}: {_REASONS[code]}")
    return StorageError(f"{shown}: the database refuses: {error}")


def _explain(shown: str, context: sqlalchemy.ExceptionContext) -> AtmlError | None:
    return explanation(shown, context.original_exception)


def _on_connect(connection: sqlite3.Connection, record: sqlalchemy.pool.ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # the driver's own BEGIN would come too late
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    _, _, path = connection.execute("PRAGMA database_list").fetchone()
    record.info[_FILE] = Path(path), _identity(Path(path))


@listens_for(sqlalchemy.Table, "before_create")
def _never_reuse_ids(table: sqlalchemy.Table, connection: sqlalchemy.Connection, **_: object) -> None:
    """Let SQLite count ids on after a deletion, as PostgreSQL does; files made before go on as they are."""
    is_optunas = list(table.primary_key.columns.keys()) == [_NEVER_REUSED.get(table.name)]
    if is_optunas and connection.dialect.name == "sqlite":
        table.dialect_options["sqlite"]["autoincrement"] = True


def _on_begin(connection: sqlalchemy.Connection) -> None:
    path, identity = connection.info[_FILE]
    if _identity(path) != identity:  # what is written to the open file, nobody will ever see
        raise StorageError(
            f"sqlite:///{path}: the file was deleted or replaced while it was in use; restore it, and run "
            "the same command again"
        )
    connection.exec_driver_sql("BEGIN" if _is_reading.get() else "BEGIN IMMEDIATE")


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from others of its name, None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
