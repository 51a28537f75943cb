"""What an SQLite database refuses, in one sentence that says what to do."""

import sqlite3
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import exc as sqlalchemy_errors

from atml.errors import AtmlError, CannotWrite, StorageError, StorageUnreachable
from atml.service.storage.lean import LeanStorage

# By SQLite's primary result codes: whatever goes on once somebody has seen to the disk.
_TOLD = {
    sqlite3.SQLITE_FULL: "its disk is full; make room there",
    sqlite3.SQLITE_IOERR: "its disk is full or fails; make room there",
    sqlite3.SQLITE_READONLY: "the file or its disk is read-only; grant write access",
    sqlite3.SQLITE_PERM: "permission denied; grant write access",
    sqlite3.SQLITE_CANTOPEN: ("its folder is full, read-only or gone; make room there or grant write access"),
}
_PRIMARY = 0xFF  # the higher bits tell the same in more detail


class SqliteStorage(LeanStorage):
    """Optuna's storage in a file; what the file refuses is an `AtmlError`.

    Args:
        url: A SQLAlchemy URL.
        shown: The URL as it may be shown.
        options: For `RDBStorage`.

    After `explain_failures`, every method may raise:
        CannotWrite: the disk is full, read-only or gone.
        StorageUnreachable: another process does not let go of it.
        StorageError: the file is damaged, or no database.
    """

    def __init__(self, url: str, *, shown: str, **options: Any) -> None:
        super().__init__(url, **options)
        self._shown = shown

    def explain_failures(self) -> None:
        """Do so from now on; whoever opens the file may have to try several times before."""

        def explain(context: sqlalchemy.ExceptionContext) -> None:
            explained = explanation(self._shown, context.original_exception)
            if explained is not None:
                raise explained from None

        sqlalchemy.event.listen(self.engine, "handle_error", explain)

    def record_heartbeat(self, trial_id: int) -> None:
        """Say that the trial's process lives; a disk without room is the trial's to complain of."""
        try:
            super().record_heartbeat(trial_id)
        except AtmlError:
            return  # raised in a thread of its own, it would only end that thread


def explanation(shown: str, error: BaseException | None) -> AtmlError | None:
    """Return what to raise for an error of SQLite; None if it is for Optuna to deal with."""
    if isinstance(error, sqlalchemy_errors.DBAPIError):
        error = error.orig
    if not isinstance(error, sqlite3.DatabaseError) or isinstance(
        error, sqlite3.IntegrityError | sqlite3.ProgrammingError
    ):
        return None
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _PRIMARY
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StorageUnreachable(f"{shown}: another process keeps the database locked; try again later")
    if code in _TOLD:
        return CannotWrite(f"cannot write {shown}: {_TOLD[code]}")
    return StorageError(f"{shown}: the database refuses: {error}")


def is_missing(url: str) -> bool:
    """Whether `url` names an SQLite file that is not there: opening it would make an empty one."""
    parsed = sqlalchemy.make_url(url) if url.startswith("sqlite") else None
    return parsed is not None and not Path(parsed.database or "").exists()
