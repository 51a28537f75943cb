"""A PostgreSQL database, reached directly or through PgBouncer, with one-sentence errors."""

import re
from typing import Any

import sqlalchemy
from sqlalchemy.exc import DBAPIError, IntegrityError, InternalError, OperationalError

from atml.errors import AtmlError, CannotWrite, StorageError, StorageUnreachable
from atml.service.storage.database import Database, shown

DRIVER = "psycopg"

CONNECT_OPTIONS = {
    "connect_timeout": 10,
    "application_name": "atml",
    # PgBouncer may use another connection for each transaction, without earlier prepared statements.
    "prepare_threshold": None,
    # Detect within a minute that a server has disappeared (power, cable, firewall).
    "keepalives_idle": 20,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
# A worker's trial and heartbeat use the database at the same time; the dashboard has a few threads.
POOL_SIZE, POOL_OVERFLOW = 2, 2

# SQLSTATEs
MAY_NOT_WRITE = ("42501", "25006")  # insufficient privilege, read-only transaction
DISK_FULL = "53100"
UNDEFINED_TABLE = "42P01"

# Messages of the server or the driver (in English; others are quoted), the error to raise for each,
# and its text.
_STARTING = (
    r"database system is (starting up|shutting down|in recovery)|not yet accepting connections"
    r"|terminating connection|server closed the connection|server login has been failing|server conn crashed"
    r"|received \d results"  # from psycopg, when PgBouncer forwards an error and closes the connection
)
_NO_SERVER = (
    r"refused|resolve host|time(d )?out|unreachable|No route|No such file|closed the connection|reset"
)
_ADVICE: tuple[tuple[str, type[StorageError], str], ...] = (
    (_STARTING, StorageUnreachable, "the server at {host} is starting or stopping; try again in a moment"),
    (
        r"too many clients|remaining connection slots|too many connections|no more connections allowed",
        StorageUnreachable,
        "the server at {host} has no connection left; raise its max_connections, or use PgBouncer",
    ),
    (
        r"no password supplied",
        StorageError,
        "the server asks for a password; put it in the URL, in PGPASSWORD or in ~/.pgpass",
    ),
    (
        r"authentication failed|role .* does not exist|is not permitted to log in|no such user",
        StorageError,
        "the server rejects user {user!r} or its password; check both",
    ),
    (
        r"no pg_hba.conf entry",
        StorageError,
        "the server rejects user {user!r} from this host; its pg_hba.conf needs a line for it",
    ),
    (
        r"database .* does not exist|no such database",
        StorageError,
        "the server has no database {database!r}; create it with: createdb {database}",
    ),
    (
        r"permission denied for (schema|table|relation|database|sequence)|must be owner",
        StorageError,
        "user {user!r} may not create its tables; let the owner run: GRANT ALL ON SCHEMA public TO {user}",
    ),
    (
        r"read-only transaction",
        StorageError,
        "the database is read-only and holds no studies yet; use the primary server",
    ),
    (
        _NO_SERVER,
        StorageUnreachable,
        "no PostgreSQL server answers at {host}; check host and port, and that it runs",
    ),
)


def connect(url: sqlalchemy.URL, *, must_exist: bool = False) -> Database:
    """Open the database at `url` for Optuna, creating its tables if there are none and none `must_exist`.

    Raises:
        StorageError: the driver is not installed.
    """
    engine_kwargs: dict[str, Any] = {
        "pool_size": POOL_SIZE,
        "max_overflow": POOL_OVERFLOW,
        "connect_args": CONNECT_OPTIONS,
    }
    full = url.set(drivername=f"postgresql+{DRIVER}")
    try:
        return Database(full, explain=_explain, engine_kwargs=engine_kwargs, must_exist=must_exist)
    except ImportError:
        raise StorageError(
            f"{shown(url)}: the PostgreSQL driver is not installed: pip install 'atml[postgres]'"
        ) from None


def why_not_opened(url: sqlalchemy.URL, reason: str, *, is_lost: bool) -> StorageError:
    """Return the error to raise when a database cannot be opened; a lost connection can be retried."""
    told = re.sub(r".*FATAL:\s*", "", reason)
    host = f"{url.host or url.query.get('host') or 'the local socket'}:{url.port or 5432}"
    for pattern, kind, advice in _ADVICE:
        if re.search(pattern, told):
            sentence = advice.format(user=url.username, host=host, database=url.database)
            return kind(f"{shown(url)}: {sentence}")
    kind = StorageUnreachable if is_lost else StorageError
    return kind(f"{shown(url)}: cannot be opened: {told}")


def _explain(shown_url: str, context: sqlalchemy.ExceptionContext) -> AtmlError | None:
    """Return the error to raise for a driver error while the database is in use."""
    error, sqlstate = context.sqlalchemy_exception, getattr(context.original_exception, "sqlstate", None)
    if not isinstance(error, DBAPIError) or isinstance(error, IntegrityError):
        return None
    if sqlstate in MAY_NOT_WRITE:
        return StorageError(
            f"{shown_url}: this user may only read here, but a search has to write; "
            "grant it INSERT, UPDATE and DELETE on all tables, or use another user"
        )
    if sqlstate == DISK_FULL:
        return CannotWrite(f"cannot write {shown_url}: its server's disk is full; make room there")
    if isinstance(error, InternalError) and sqlstate is None:
        context.is_disconnect = True  # raised by the driver for a garbled answer: the connection is lost
    if context.is_disconnect or isinstance(error, OperationalError):
        return StorageUnreachable(f"{shown_url}: the database does not answer")
    reason = str(context.original_exception).strip().splitlines()[0]
    return StorageError(f"{shown_url}: the database refuses: {reason}")
