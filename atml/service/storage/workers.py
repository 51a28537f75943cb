"""The table of workers, in addition to Optuna's tables."""

import sqlalchemy
from sqlalchemy import BigInteger, Column, Float, Integer, MetaData, String, Table

from atml.service.storage.sqlite import reading

WORKERS = Table(
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


def create_table(engine: sqlalchemy.Engine) -> None:
    """Create the table of workers unless it exists.

    Raises:
        SQLAlchemyError: it cannot be created, or another process created it at the same time.
    """
    with reading():
        WORKERS.create(engine, checkfirst=True)
