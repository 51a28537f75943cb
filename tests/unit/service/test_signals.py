"""Asked to leave: at a safe point, then at once, and never in the middle of that."""

import signal

import pytest

from atml.errors import StorageUnreachable
from atml.service.signals import LeaveOnSignal
from tests.waiting import PATIENCE_SECONDS


@pytest.fixture
def leave():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield LeaveOnSignal().install()
    for number, handler in before.items():
        signal.signal(number, handler)


def test_the_first_signal_is_recorded_the_second_interrupts_and_others_change_nothing(leave):
    assert not leave.requested()
    signal.raise_signal(signal.SIGTERM)
    assert leave.requested()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.raise_signal(number)
    assert leave.requested()


def test_a_storage_that_cannot_be_reached_is_an_error_unless_asked_to_leave(leave):
    with leave.interrupting():
        pass
    with pytest.raises(StorageUnreachable), leave.interrupting():
        raise StorageUnreachable("away")
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), leave.interrupting():
        raise StorageUnreachable("away")
    with pytest.raises(KeyboardInterrupt), leave.interrupting():
        pass


def test_a_worker_that_waits_for_its_server_leaves_with_130(start):
    worker = start("worker", "--storage", "postgresql://me@127.0.0.1:1/db", "--device", "cpu")
    assert "no PostgreSQL server answers" in worker.stderr.readline()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(PATIENCE_SECONDS) == 130
