"""The table of workers, in addition to Optuna's tables."""

from sqlalchemy import BigInteger, Column, Float, Integer, MetaData, String, Table

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
