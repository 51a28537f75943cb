"""A database file that cannot be written, in one sentence."""

import sqlite3

import optuna
import pytest
from optuna.trial import TrialState

from atml.errors import CannotWrite, StorageError, StorageUnreachable
from atml.service.storage import open_storage
from atml.service.storage.sqlite import explanation
from tests.disks import small_disk


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "disk", mebibytes=2) as disk:
        yield disk


@pytest.fixture
def url(disk):
    return f"sqlite:///{disk.folder / 'atml.db'}"


def sqlite_error(code, kind=sqlite3.OperationalError):
    error = kind("as SQLite says it")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "kind", "told"),
    [
        (sqlite3.SQLITE_FULL, CannotWrite, "cannot write sqlite:///a.db: its disk is full; make room there"),
        (sqlite3.SQLITE_IOERR_WRITE, CannotWrite, "its disk is full or fails"),
        (sqlite3.SQLITE_READONLY_DBMOVED, CannotWrite, "read-only; grant write access"),
        (sqlite3.SQLITE_CANTOPEN, CannotWrite, "its folder is full, read-only or gone"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, StorageUnreachable, "another process keeps the database locked"),
        (sqlite3.SQLITE_CORRUPT, StorageError, "sqlite:///a.db: the database refuses: as SQLite says it"),
    ],
)
def test_what_sqlite_says_is_one_sentence_that_says_what_to_do(code, kind, told):
    error = explanation("sqlite:///a.db", sqlite_error(code))
    assert type(error) is kind
    assert told in str(error)


def test_what_optuna_knows_to_deal_with_is_left_to_it(storage):
    assert explanation("sqlite:///a.db", sqlite_error(19, sqlite3.IntegrityError)) is None
    optuna.create_study(storage=storage, study_name="one")
    with pytest.raises(optuna.exceptions.DuplicatedStudyError):
        optuna.create_study(storage=storage, study_name="one")


class TestFullDisk:
    def test_no_database_can_be_made_on_it(self, disk, url):
        with disk.full(), pytest.raises(CannotWrite, match=f"^cannot write {url}: its "):
            open_storage(url)

    def test_every_write_is_refused_and_what_was_written_stays(self, disk, url):
        storage = open_storage(url)
        study = optuna.create_study(storage=storage, study_name="kept")
        trial = storage.create_new_trial(study._study_id)
        storage.set_trial_user_attr(trial, "small", 1)
        large = list(range(100_000))
        with disk.full():
            for write in (
                lambda: storage.set_trial_user_attr(trial, "large", large),
                lambda: study.set_user_attr("large", large),
                lambda: study.enqueue_trial({"x": 1}, user_attrs={"large": large}),
            ):
                with pytest.raises(CannotWrite, match=f"^cannot write {url}: its disk is full"):
                    write()
            assert study.trials[0].user_attrs == {"small": 1}
        assert storage.set_trial_state_values(trial, TrialState.COMPLETE, [1.0])
        assert study.user_attrs == {}
        storage.engine.dispose()


def test_a_database_on_a_read_only_disk_is_one_sentence(disk, url):
    storage = open_storage(url)
    optuna.create_study(storage=storage, study_name="kept")
    storage.remove_session()
    storage.engine.dispose()
    with disk.read_only(), pytest.raises(CannotWrite, match=f"^cannot write {url}: "):
        optuna.create_study(storage=open_storage(url), study_name="another")
    storage = open_storage(url)
    assert [study.study_name for study in storage.get_all_studies()] == ["kept"]
    storage.engine.dispose()
