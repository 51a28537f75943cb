"""Opening a PostgreSQL database; what is wrong with it is said in one sentence, without the password."""

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy
from optuna.exceptions import ExperimentalWarning
from sqlalchemy import exc as sqlalchemy_errors

from atml.errors import StorageError, StorageUnreachable
from atml.service.storage.patience import wait_until_open
from atml.service.storage.patient import PatientStorage
from atml.service.storage.registry import create_table

DRIVER = "psycopg"
OLDEST_SERVER = 13  # older ones have had no security fixes since 2024
CONNECT_SECONDS = 10
TABLES_LOCK = 0x41544D4C  # "ATML"; any number that every process uses

CONNECT_OPTIONS = {
    "connect_timeout": CONNECT_SECONDS,
    "application_name": "atml",
    # A server that vanished without a word (power, cable, firewall) is noticed within a minute.
    "keepalives_idle": 20,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
# Two threads of a worker are at the database often, the trial's and the heartbeat's; a third now and then.
WORKER_THREADS = 2

# What the server or the driver may say (in English; else its words are passed on as they are), what
# kind of error that is, and what the user is told.
_ADVICE: tuple[tuple[str, type[StorageError], str], ...] = (
    (
        (
            r"database system is (starting up|shutting down|in recovery)|not yet accepting connections"
            r"|terminating connection|server closed the connection"
        ),  # while this one was being opened
        StorageUnreachable,
        "the server at {host} is starting or stopping; try again in a moment",
    ),
    (
        r"too many clients|remaining connection slots|too many connections",
        StorageUnreachable,
        "the server at {host} has no connection left; raise its max_connections",
    ),
    (
        r"no password supplied",
        StorageError,
        "the server asks for a password; put it in the URL, in PGPASSWORD or in ~/.pgpass",
    ),
    (
        r"authentication failed|role .* does not exist|is not permitted to log in",
        StorageError,
        "the server refuses user {user!r} or its password; check both",
    ),
    (
        r"no pg_hba.conf entry",
        StorageError,
        "the server lets user {user!r} not in from this machine; its pg_hba.conf needs a line for it",
    ),
    (
        r"database .* does not exist",
        StorageError,
        "the server has no database {database!r}; make it with: createdb {database}",
    ),
    (
        r"permission denied for (schema|table|relation|database|sequence)|must be owner",
        StorageError,
        "user {user!r} may not create its tables; let the owner say: GRANT ALL ON SCHEMA public TO {user}",
    ),
    (
        r"read-only transaction",
        StorageError,
        "the database can only be read, and holds no studies yet; use the primary server",
    ),
    (
        r"refused|resolve host|time(d )?out|unreachable|No route|No such file|closed the connection|reset",
        StorageUnreachable,
        "no PostgreSQL server answers at {host}; check host and port, and that it runs",
    ),
)


def open_postgres(
    url: sqlalchemy.URL,
    *,
    patience_seconds: float,
    wait_for_server: bool,
    give_up: Callable[[], bool],
    threads: int,
    **options: Any,
) -> PatientStorage:
    """Open a PostgreSQL database for Optuna, creating its tables if there are none.

    Args:
        url: Where it is; its driver is psycopg.
        patience_seconds: How long to try again when the server stops answering.
        wait_for_server: Be as patient with a server that does not answer yet.
        give_up: Asked while waiting; once true, nothing is waited for any more.
        threads: How many will use it at once; each may take two connections for a moment.
        options: For Optuna's `RDBStorage`.

    Raises:
        StorageUnreachable: no server answers.
        StorageError: it refuses, is too old, or holds tables of another Optuna.
    """

    def attempt() -> PatientStorage:
        with _explained(url):
            return _open(url, patience_seconds=patience_seconds, give_up=give_up, threads=threads, **options)

    return wait_until_open(
        attempt, patience_seconds=patience_seconds, wait_for_server=wait_for_server, give_up=give_up
    )


def shown(url: sqlalchemy.URL) -> str:
    """Return a URL fit to be shown: no password, and no options, which may hold one too."""
    return url.set(query={}).render_as_string(hide_password=True)


def _open(url: sqlalchemy.URL, *, threads: int, **options: Any) -> PatientStorage:
    full = url.render_as_string(hide_password=False)
    engine = sqlalchemy.create_engine(full, poolclass=sqlalchemy.NullPool, connect_args=CONNECT_OPTIONS)
    with engine.begin() as connection, warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # heartbeats are marked as such
        _refuse_old_server(url, connection)
        # Processes that start together would create the tables together, and all but one would fail.
        connection.execute(sqlalchemy.text("SELECT pg_advisory_xact_lock(:key)"), {"key": TABLES_LOCK})
        storage = PatientStorage(
            full.replace("{", "{{").replace("}", "}}"),  # Optuna takes the URL for a format string
            shown=shown(url),
            engine_kwargs={
                "pool_size": threads,
                "max_overflow": threads,
                "pool_pre_ping": True,
                "connect_args": CONNECT_OPTIONS,
            },
            **options,
        )
        create_table(storage.engine)
        return storage


def _refuse_old_server(url: sqlalchemy.URL, connection: sqlalchemy.Connection) -> None:
    version = connection.dialect.server_version_info or (0,)
    if int(version[0]) < OLDEST_SERVER:
        found = ".".join(map(str, version))
        raise StorageError(
            f"{shown(url)}: the server is PostgreSQL {found}, but {OLDEST_SERVER} or newer is needed"
        )


@contextmanager
def _explained(url: sqlalchemy.URL) -> Iterator[None]:
    """Raise what goes wrong while opening as one sentence that says what to do."""
    try:
        yield
    except ImportError:
        raise StorageError(
            f"{shown(url)}: the PostgreSQL driver is not installed: pip install 'atml[postgres]'"
        ) from None
    except sqlalchemy_errors.SQLAlchemyError as error:
        reason = _reason(error)
        for pattern, kind, advice in _ADVICE:
            if re.search(pattern, reason):
                told = advice.format(user=url.username, host=_address(url), database=url.database)
                raise kind(f"{shown(url)}: {told}") from None
        raise StorageError(f"{shown(url)}: cannot be opened: {reason}") from None


def _reason(error: BaseException) -> str:
    """Return the server's or the driver's own words, on one line."""
    lines = [line.strip() for line in str(getattr(error, "orig", None) or error).splitlines()]
    told = next((line for line in lines if "FATAL:" in line), lines[0])
    return told.rpartition("FATAL:")[2].strip()


def _address(url: sqlalchemy.URL) -> str:
    host = url.host or url.query.get("host") or "this machine's socket"
    return f"{host}:{url.port or 5432}"
