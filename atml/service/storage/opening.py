"""Opening a storage, with one-sentence errors that do not reveal the password."""

import random
import re
import time
from collections.abc import Callable
from pathlib import Path

import sqlalchemy
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from atml.errors import CannotWrite, NoDatabase, StorageError, StorageUnreachable
from atml.service.storage import postgres, sqlite
from atml.service.storage.database import Database, holds_bare_at, shown
from atml.service.storage.retrying import COMMAND_RETRY_SECONDS, Storage, warn_once
from atml.service.storage.workers import WORKERS

WHERE_STUDIES_ARE = "check the storage, or start a search, which creates it"
OPEN_ATTEMPTS = 20
SERVER_LOOK_SECONDS = 1.0
_CREATED_TOGETHER = r"already exists|(?i:unique)|locked|deadlock"


def open_storage(
    url: str,
    *,
    must_exist: bool = False,
    retry_seconds: float = COMMAND_RETRY_SECONDS,
    wait_for_server: bool = False,
    give_up: Callable[[], bool] = lambda: False,
) -> Storage:
    """Open the database at `url`, creating it and its tables if there are none.

    SQLite serves any number of processes on one machine, PostgreSQL any number of machines.

    Args:
        url: `sqlite:///FILE`, or `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`.
        must_exist: Create nothing; for what only makes sense with studies.
        retry_seconds: How long to retry when a PostgreSQL server stops answering.
        wait_for_server: Wait equally long for a server that does not answer yet.
        give_up: Polled while waiting; once true, waiting ends.

    Raises:
        NoDatabase: there are no tables, though they `must_exist`.
        StorageUnreachable: no PostgreSQL server answers.
        CannotWrite: the disk of an SQLite database is full, read-only or gone.
        StorageError: the URL, the driver or the database is wrong; the password is not shown.
    """
    parsed = parsed_url(url)
    timeout = stop_after_delay(retry_seconds)
    opening = Retrying(
        retry=retry_if_exception_type(StorageUnreachable if wait_for_server else ()),
        stop=lambda state: give_up() or timeout(state),
        wait=wait_fixed(SERVER_LOOK_SECONDS),
        before_sleep=warn_once,
        reraise=True,
    )
    return Storage(opening(_open, parsed, must_exist), retry_seconds=retry_seconds, give_up=give_up)


def parsed_url(url: str) -> sqlalchemy.URL:
    """Return the URL of a storage, without its driver.

    Raises:
        StorageError: it is no URL of a file of SQLite's or a database of PostgreSQL's; no password is shown.
    """
    try:
        parsed = sqlalchemy.make_url(url.encode().decode())  # bytes that are no text raise ValueError
    except (ArgumentError, ValueError):
        raise StorageError(
            "the storage is not a database URL; write sqlite:///FILE or postgresql://USER@HOST/DATABASE"
        ) from None
    if holds_bare_at(url, parsed):
        raise StorageError(
            "the storage is not a database URL; write @, : and / in user and password as %40 %3A %2F"
        )
    backend, _, driver = parsed.drivername.partition("+")
    if backend == "sqlite":
        return _checked_file(parsed, driver)
    if backend not in ("postgresql", "postgres"):
        raise StorageError(f"the storage must be SQLite or PostgreSQL but got {backend}")
    if driver not in ("", postgres.DRIVER):
        raise StorageError(f"{shown(parsed)}: the driver must be {postgres.DRIVER} but got {driver}")
    if not parsed.database:
        raise StorageError(f"{shown(parsed)}: names no database; write postgresql://USER@HOST/DATABASE")
    return parsed.set(drivername="postgresql")


def _checked_file(url: sqlalchemy.URL, driver: str) -> sqlalchemy.URL:
    """Return the URL of an SQLite file; no other driver, no options, and nothing in memory."""
    path = url.database or ""
    if driver not in ("", sqlite.DRIVER) or url.query or url.host or path in ("", ":memory:"):
        raise StorageError(
            f"{shown(url)}: an SQLite database is a file: write sqlite:///FILE, without options"
        )
    if not Path(path).parent.is_dir():
        raise StorageError(f"{shown(url)}: the folder {Path(path).parent} does not exist; create it first")
    return url.set(drivername="sqlite")


def _open(url: sqlalchemy.URL, must_exist: bool) -> Database:
    """Open a database that other processes may be creating at the same time."""
    is_file = url.get_backend_name() == "sqlite"
    if is_file and must_exist and not Path(url.database or "").exists():
        raise NoDatabase(f"{shown(url)}: there is no such file; {WHERE_STUDIES_ARE}")
    connect = sqlite.connect if is_file else postgres.connect
    for attempt in range(1, OPEN_ATTEMPTS + 1):
        try:
            database = connect(url, must_exist=must_exist)
            with sqlite.reading():
                WORKERS.create(database.engine, checkfirst=True)
            database.explain_errors()
            return database
        except ValueError as error:  # such as a host that is no valid name, or a zero byte
            raise StorageError(f"{shown(url)}: cannot be opened: {error}; check the URL") from None
        except (SQLAlchemyError, StorageInternalError) as error:
            reason = _reason(error)
            sqlstate = getattr(_driver_error(error), "sqlstate", None)
            if must_exist and (sqlstate == postgres.UNDEFINED_TABLE or "no such table" in reason):
                raise NoDatabase(f"{shown(url)}: no study was ever kept here; {WHERE_STUDIES_ARE}") from None
            # Another process created the tables at the same time; the next attempt finds them.
            if attempt == OPEN_ATTEMPTS or not re.search(_CREATED_TOGETHER, reason):
                raise _why_not_opened(url, error, reason) from None
            time.sleep(random.uniform(0.1, 0.3))
    raise AssertionError


def _why_not_opened(url: sqlalchemy.URL, error: Exception, reason: str) -> Exception:
    if url.get_backend_name() != "sqlite":
        return postgres.why_not_opened(url, reason, is_lost=getattr(error, "connection_invalidated", False))
    told = sqlite.explanation(shown(url), _driver_error(error))
    if isinstance(told, CannotWrite) and not Path(url.database or "").is_dir():
        return told
    return StorageError(f"{shown(url)}: cannot be opened: {reason}")


def _driver_error(error: BaseException) -> BaseException:
    cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
    return getattr(cause, "orig", None) or cause


def _reason(error: BaseException) -> str:
    """Return the server's or the driver's message, on one line."""
    lines = [line.strip() for line in str(_driver_error(error)).splitlines()]
    return next((line for line in lines if "FATAL:" in line), lines[0])
