"""A database file that cannot be written, in one sentence."""

import sqlite3
import subprocess
import sys
from contextlib import closing

import optuna
import pytest
from optuna.trial import TrialState

from atml.errors import CannotWrite, StorageError, StorageUnreachable, StudyDeleted
from atml.service.storage import open_storage
from atml.service.storage.sqlite import explanation
from tests.databases import close
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


@pytest.mark.parametrize("change", ["deleted", "replaced"])
def test_a_file_that_is_deleted_or_replaced_in_use_is_told_at_once(tmp_path, change):
    path = tmp_path / "atml.db"
    opened = open_storage(f"sqlite:///{path}")
    optuna.create_study(storage=opened, study_name="one")
    path.unlink()
    if change == "replaced":
        close(open_storage(f"sqlite:///{path}"))
    with pytest.raises(StorageError, match=r"atml.db: the file was deleted or replaced while it was in use"):
        optuna.create_study(storage=opened, study_name="two")
    with pytest.raises(StorageError, match="restore it"):
        opened.get_all_studies()
    close(opened)


def test_studies_on_a_read_only_disk_can_be_read(disk, url):
    opened = open_storage(url)
    optuna.create_study(storage=opened, study_name="one").enqueue_trial({})
    close(opened)
    with disk.read_only():
        reader = open_storage(url, must_exist=True)
        assert len(optuna.load_study(study_name="one", storage=reader).trials) == 1
        with pytest.raises(
            CannotWrite, match=r"cannot write sqlite:.*atml.db: the file or its disk is read-only"
        ):
            optuna.create_study(storage=reader, study_name="two")
        close(reader)


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


def opened_twice(url, request):
    """Return the storages of two processes."""
    both = open_storage(url), open_storage(url)
    for one in both:
        request.addfinalizer(lambda one=one: close(one))
    return both


class TestIdentifiers:
    """A deleted study's are never given again."""

    def test_a_study_made_after_a_deletion_gets_larger_ones(self, storage):
        first = optuna.create_study(storage=storage, study_name="first")
        trial = first.ask()
        optuna.delete_study(storage=storage, study_name="first")
        second = optuna.create_study(storage=storage, study_name="second")
        assert second._study_id > first._study_id
        assert second.ask()._trial_id > trial._trial_id

    def test_a_process_that_knew_the_deleted_study_sees_the_trials_of_the_new_one(self, storage_url, request):
        busy, idle = opened_twice(storage_url, request)
        for values in ([1.0, 2.0], [3.0]):
            study = optuna.create_study(storage=busy, study_name="same name")
            for value in values:
                study.add_trial(optuna.trial.create_trial(value=value))
            seen = optuna.load_study(storage=idle, study_name="same name")
            assert [trial.value for trial in seen.trials] == values
            optuna.delete_study(storage=busy, study_name="same name")

    def test_who_holds_a_deleted_study_does_not_write_into_the_next_one(self, storage_url, request):
        suspended, other = opened_twice(storage_url, request)
        mine = optuna.create_study(storage=suspended, study_name="same name")
        optuna.delete_study(storage=other, study_name="same name")
        theirs = optuna.create_study(storage=other, study_name="same name")
        with pytest.raises(StudyDeleted):
            mine.set_user_attr("spec", "mine")
        assert theirs.user_attrs == {}


@pytest.fixture(scope="module")
def optunas_own(tmp_path_factory):
    """A file whose tables Optuna has made alone, as in files of earlier versions."""
    path = tmp_path_factory.mktemp("own") / "atml.db"
    code = f"import optuna; optuna.storages.RDBStorage('sqlite:///{path}')"
    subprocess.run([sys.executable, "-c", code], check=True)
    return path


def tables(path):
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {name: " ".join(sql.split()) for name, sql in rows}


def test_nothing_else_of_optunas_tables_is_changed(optunas_own, storage, tmp_path):
    before, after = tables(optunas_own), tables(tmp_path / "atml.db")
    changed = {name for name in after if before.get(name) != after[name]}
    assert changed == {"studies", "trials", "sqlite_sequence", "atml_workers"}
    for table, key in (("studies", "study_id"), ("trials", "trial_id")):
        columns = before[table].replace(f", PRIMARY KEY ({key})", "")
        own = f"{key} INTEGER NOT NULL"
        assert after[table] == columns.replace(own, f"{own} PRIMARY KEY AUTOINCREMENT")


def test_a_file_of_an_earlier_version_is_opened_as_it_is(optunas_own):
    before = tables(optunas_own)
    storage = open_storage(f"sqlite:///{optunas_own}")
    optuna.create_study(storage=storage, study_name="kept").ask()
    close(storage)
    assert before.items() <= tables(optunas_own).items()
