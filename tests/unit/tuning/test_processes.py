import json
import os
import subprocess
import sys
from dataclasses import replace

import psutil
import pytest

from atml.tuning.processes import Process, this_process


@pytest.fixture
def child():
    """A process that waits, as `Process` sees it, and its handle."""
    code = "import json, atml.tuning.processes as p; print(json.dumps(p.this_process().to_dict())); input()"
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield Process.from_dict(json.loads(process.stdout.readline())), process
    process.kill()
    process.communicate()


def test_a_process_lives_until_it_is_killed_even_if_nobody_has_noticed_its_end(child):
    seen, process = child
    assert seen.pid == process.pid
    assert not seen.is_dead()
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # a zombie now
    assert seen.is_dead()
    process.wait()
    assert seen.is_dead()


def test_a_number_that_was_given_out_again_is_another_process():
    own = this_process()
    assert not own.is_dead()
    assert replace(own, started=own.started - 60).is_dead()


def test_a_clock_that_is_set_makes_nobody_look_dead(child, monkeypatch):
    seen, _ = child
    create_time, boot_time = psutil.Process.create_time, psutil.boot_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: create_time(process) + 3600)
    monkeypatch.setattr(psutil, "boot_time", lambda: boot_time() + 3600)
    assert not seen.is_dead()


@pytest.mark.parametrize("elsewhere", [{"host": "another-machine"}, {"namespace": "pid:[1]"}])
def test_nobody_here_knows_of_the_processes_of_other_machines_and_containers(elsewhere):
    gone = replace(this_process(), pid=2**22 + 1)
    assert gone.is_dead()
    assert not replace(gone, **elsewhere).is_dead()


def test_a_record_can_be_read_beside_other_facts():
    own = this_process()
    assert Process.from_dict({**own.to_dict(), "device": "cpu"}) == own
