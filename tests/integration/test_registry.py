"""The table of workers, on every database."""

import subprocess
import sys
import time
from dataclasses import replace

import pytest
import sqlalchemy

from atml.search.processes import this_process
from atml.service.presence import Presence
from atml.service.storage import registry as subject
from atml.service.storage.registry import WorkerEntry, create_table, registry_of
from tests.databases import on_both_databases, on_postgres


@pytest.fixture
def registry(storage):
    return registry_of(storage)


def entry(name="one", **fields):
    given = {"process": this_process(), "number": 3, "device": "cpu", "threads": 1, **fields}
    return WorkerEntry(worker=name, **given)


def age(storage, seconds):
    """Make all entries older."""
    with storage.engine.begin() as connection:
        connection.execute(
            sqlalchemy.text("UPDATE atml_workers SET seen = seen - :seconds"), {"seconds": seconds}
        )


@on_both_databases
class TestRegistry:
    def test_a_worker_that_says_so_is_there_with_all_it_told(self, registry):
        registry.beat(entry(study="first"))
        (seen,) = registry.workers()
        assert seen.entry == entry(study="first")
        assert seen.last_seen_seconds < 5
        assert not seen.is_lost

    def test_it_stands_there_once_however_often_it_speaks(self, registry):
        registry.beat(entry(study="first"))
        registry.beat(entry(study=None))
        assert [seen.entry.study for seen in registry.workers()] == [None]

    def test_it_is_gone_when_it_leaves(self, registry):
        registry.beat(entry("one"))
        registry.beat(entry("two"))
        registry.leave("one")
        assert [seen.entry.worker for seen in registry.workers()] == ["two"]

    def test_silence_makes_it_lost_and_then_forgotten(self, registry, storage):
        registry.beat(entry())
        age(storage, subject.LOST_SECONDS)
        (seen,) = registry.workers()
        assert seen.is_lost
        age(storage, subject.FORGOTTEN_SECONDS)
        assert registry.workers() == []

    def test_others_clear_away_what_is_forgotten(self, registry, storage):
        registry.beat(entry("old"))
        age(storage, subject.FORGOTTEN_SECONDS + 1)
        registry.beat(entry("new"))
        with storage.engine.connect() as connection:
            assert connection.scalars(sqlalchemy.text("SELECT worker FROM atml_workers")).all() == ["new"]

    def test_a_killed_process_of_this_machine_is_lost_at_once(self, registry):
        registry.beat(entry(process=replace(this_process(), pid=2**22 + 1)))
        assert registry.workers()[0].is_lost

    def test_tables_made_before_there_were_workers_get_theirs(self, registry, storage):
        with storage.engine.begin() as connection:
            connection.execute(sqlalchemy.text("DROP TABLE atml_workers"))
        for _ in range(2):
            create_table(storage.engine)
        assert registry.workers() == []


class TestPresence:
    @pytest.fixture
    def presence(self, registry):
        return Presence(registry, number=3, device="cpu", threads=1)

    @on_both_databases
    def test_a_worker_is_there_from_beginning_to_end_and_at_a_study_while_it_serves_it(
        self, presence, registry
    ):
        def studies():
            return [seen.entry.study for seen in registry.workers()]

        with presence:
            assert studies() == [None]
            with presence.at("first"):
                assert studies() == ["first"]
            assert studies() == [None]
        assert studies() == []

    def test_a_dead_worker_of_this_machine_makes_room_for_who_takes_its_number(self, presence, registry):
        dead = replace(this_process(), pid=2**22 + 1)
        registry.beat(entry("same number", process=dead, number=3))
        registry.beat(entry("other number", process=dead, number=4))
        registry.beat(entry("elsewhere", process=replace(dead, host="another-machine"), number=3))
        with presence:
            left = {seen.entry.worker for seen in registry.workers()}
            assert {"other number", "elsewhere"} < left
            assert "same number" not in left

    def test_it_keeps_saying_so(self, presence, registry, storage, monkeypatch):
        monkeypatch.setattr("atml.service.presence.BEAT_SECONDS", 0.05)
        with presence:
            age(storage, 30)
            time.sleep(0.5)
            assert registry.workers()[0].last_seen_seconds < 10

    @on_postgres
    def test_a_server_that_is_away_is_told_later(self, presence, registry, postgres, monkeypatch):
        monkeypatch.setattr("atml.service.presence.BEAT_SECONDS", 0.2)
        with presence:
            postgres.stop()
            with presence.at("first"):
                postgres.start()
                due = time.monotonic() + 30
                while not (seen := registry.workers()) or seen[0].entry.study != "first":
                    assert time.monotonic() < due
                    time.sleep(0.1)

    def test_a_worker_that_waits_stands_in_the_status_and_a_killed_one_is_lost(self, registry, storage_url):
        command = [sys.executable, "-m", "atml", "worker", "--index", "5", "--device", "cpu"]
        process = subprocess.Popen([*command, "--storage", storage_url], stderr=subprocess.DEVNULL)
        try:
            due = time.monotonic() + 60
            while not (seen := registry.workers()):
                assert time.monotonic() < due
                time.sleep(0.1)
            assert (seen[0].entry.process.pid, seen[0].entry.number) == (process.pid, 5)
            assert not seen[0].is_lost
        finally:
            process.kill()
            process.wait()
        assert registry.workers()[0].is_lost
