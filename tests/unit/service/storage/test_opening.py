import sqlite3

import optuna
import pytest
import sqlalchemy

from atml.errors import NoDatabase, StorageError, StorageUnreachable
from atml.service.storage import open_storage
from tests.databases import close, on_both_databases


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
        ("postgresql://user:secret@" + "a" * 64 + ".com/db", ["user:***@aaa", "cannot be opened"]),
        ("postgresql://user:secret@ü..x/db", ["user:***@ü..x", "cannot be opened"]),
        ("sqlite:///{tmp}/x.db?timeout=secret", ["x.db: an SQLite database is a file", "without options"]),
        ("sqlite+aiosqlite:///{tmp}/x.db", ["write sqlite:///FILE"]),
        ("sqlite://user:secret@host/x.db", ["user:***@host", "write sqlite:///FILE"]),
        ("postgresql://user:s@cret@127.0.0.1:1/db", ["write @, : and / in user and password as %40"]),
        ("postgresql://user:s@cret?c@127.0.0.1/db", ["write @, : and / in user and password as %40"]),
        ("postgresql://user:s?@cret@127.0.0.1/db", ["write @, : and / in user and password as %40"]),
        ("postgresql+nodriver://user:s@/cret@127.0.0.1/db", ["write @, : and / in user and"]),
        ("postgresql://user:s@c:cret@127.0.0.1/db", ["not a database URL"]),
        ("sqlite://user:s@cret@host/x.db", ["write @, : and / in user and password as %40"]),
        ("sqlite:///:memory:", ["write sqlite:///FILE"]),
    ],
)
def test_a_storage_that_cannot_be_used_is_one_message_without_a_password(tmp_path, url, parts):
    (tmp_path / "notes.txt").write_text("To do: buy milk. " * 100)
    with pytest.raises(StorageError) as caught:
        open_storage(url.replace("{tmp}", str(tmp_path)))
    message = str(caught.value)
    assert [part for part in parts if part not in message] == []
    assert "cret" not in message  # nor the end of one
    assert "\n" not in message


class TestReading:
    def test_a_misspelt_file_is_told_and_not_made(self, tmp_path):
        with pytest.raises(NoDatabase, match=r"nope.db: there is no such file; check the storage"):
            open_storage(f"sqlite:///{tmp_path / 'nope.db'}", must_exist=True)
        assert list(tmp_path.iterdir()) == []

    @on_both_databases
    def test_no_table_is_made_where_there_is_none(self, storage_url):
        storage_url = storage_url.replace("atml.db", "another.db")  # a file that has none
        engine = sqlalchemy.create_engine(storage_url.replace("postgresql:", "postgresql+psycopg:"))
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text("CREATE TABLE others (number INTEGER)"))
        with pytest.raises(NoDatabase, match="no study was ever kept here"):
            open_storage(storage_url, must_exist=True)
        assert sqlalchemy.inspect(engine).get_table_names() == ["others"]
        engine.dispose()

    def test_studies_that_optuna_made_alone_are_found(self, tmp_path):
        url = f"sqlite:///{tmp_path / 'optuna.db'}"
        optuna.create_study(storage=url, study_name="theirs")
        opened = open_storage(url, must_exist=True)
        assert [study.study_name for study in opened.get_all_studies()] == ["theirs"]
        close(opened)

    @on_both_databases
    def test_studies_that_are_there_are_found(self, storage_url):
        writer = open_storage(storage_url)
        optuna.create_study(storage=writer, study_name="kept")
        reader = open_storage(storage_url, must_exist=True)
        assert [study.study_name for study in reader.get_all_studies()] == ["kept"]
        close(writer)
        close(reader)


def test_a_database_that_is_no_database_is_left_as_it_was(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("To do: buy milk. " * 100)
    with pytest.raises(StorageError):
        open_storage(f"sqlite:///{path}")
    assert path.read_text() == "To do: buy milk. " * 100
