import sqlite3

import optuna
import pytest
import sqlalchemy

from atml.errors import StorageError, StorageUnreachable
from atml.service.storage import open_storage


def test_a_new_database_is_made_and_opened_again(tmp_path):
    url = f"sqlite:///{tmp_path / 'new.db'}"
    optuna.create_study(storage=open_storage(url), study_name="kept")
    assert [study.study_name for study in open_storage(url).get_all_studies()] == ["kept"]


def test_a_file_name_may_hold_any_sign(tmp_path):
    path = tmp_path / "{atml} 100%.db"
    open_storage(f"sqlite:///{path}")
    assert path.exists()


def test_tables_of_another_optuna_come_with_the_way_out(tmp_path):
    url = f"sqlite:///{tmp_path / 'old.db'}"
    with open_storage(url).engine.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE alembic_version SET version_num = 'v2.6.0.a'"))
    with pytest.raises(StorageError, match="back the database up, then run: optuna storage upgrade"):
        open_storage(url)


def test_the_write_lock_is_taken_before_anything_is_read(storage):
    with storage.engine.connect() as first:
        first.execute(sqlalchemy.text("SELECT count(*) FROM studies"))
        with storage.engine.connect() as second:
            second.connection.driver_connection.execute("PRAGMA busy_timeout = 0")
            with pytest.raises(StorageUnreachable, match="locked"):
                second.execute(sqlalchemy.text("SELECT count(*) FROM studies"))


def test_whoever_only_reads_does_not_wait_for_a_writer(tmp_path):
    study = optuna.create_study(storage=open_storage(f"sqlite:///{tmp_path / 'atml.db'}"))
    study.enqueue_trial({"width": 4})
    writer = sqlite3.connect(tmp_path / "atml.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("DELETE FROM trials")
    (queued,) = study.trials
    assert queued.system_attrs["fixed_params"] == {"width": 4}
    assert study.user_attrs == {}
    writer.execute("ROLLBACK")
    writer.close()


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("atml.db", ["not a database URL", "sqlite:///FILE"]),
        ("", ["not a database URL"]),
        ("mysql://user:secret@host/db", ["must be SQLite or PostgreSQL but got mysql"]),
        ("nonsense://user:secret@host/db", ["must be SQLite or PostgreSQL but got nonsense"]),
        ("sqlite:///{tmp}/missing/atml.db", ["the folder", "missing does not exist", "create it first"]),
        ("sqlite:///{tmp}/notes.txt", ["notes.txt", "cannot be opened: file is not a database"]),
        ("sqlite:///{tmp}", ["cannot be opened: unable to open database file"]),
        ("postgresql+nodriver://user:secret@127.0.0.1/db", ["driver must be psycopg but got nodriver"]),
        ("postgresql://user:secret@127.0.0.1:port/db", ["not a database URL", "postgresql://USER@HOST"]),
        ("postgresql://user:secret@127.0.0.1", ["names no database"]),
    ],
)
def test_a_storage_that_cannot_be_used_is_one_message_without_a_password(tmp_path, url, parts):
    (tmp_path / "notes.txt").write_text("To do: buy milk. " * 100)
    with pytest.raises(StorageError) as caught:
        open_storage(url.replace("{tmp}", str(tmp_path)))
    message = str(caught.value)
    assert [part for part in parts if part not in message] == []
    assert "secret" not in message
    assert "\n" not in message


def test_a_database_that_is_no_database_is_left_as_it_was(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("To do: buy milk. " * 100)
    with pytest.raises(StorageError):
        open_storage(f"sqlite:///{path}")
    assert path.read_text() == "To do: buy milk. " * 100
