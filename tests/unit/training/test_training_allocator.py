import os
import platform
import subprocess
import sys

import pytest

from atml.training.allocator import ALLOCATOR, allocator_of_children

# Three tensors of 30 MB come and go, as in a training step; prints the page faults of a step.
STEPS = """
import resource

def steps(count):
    for _ in range(count):
        together = [bytearray(30_000_000) for _ in range(3)]
        del together

steps(3)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
steps(5)
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 5)
"""


def faults_a_step() -> float:
    ran = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True, check=True)
    return float(ran.stdout)


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch):
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are those of glibc")
def test_a_step_reuses_the_memory_of_the_one_before():
    by_default = faults_a_step()  # thousands, or some dozens where the system uses large pages for everything
    with allocator_of_children():
        assert faults_a_step() < by_default / 10


def test_it_is_set_for_children_alone():
    with allocator_of_children():
        assert os.environ["GLIBC_TUNABLES"] == ALLOCATOR["GLIBC_TUNABLES"]
    assert "GLIBC_TUNABLES" not in os.environ


def test_what_the_user_has_set_stays(monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.check=3")
    with allocator_of_children():
        assert os.environ["GLIBC_TUNABLES"] == "glibc.malloc.check=3"
    assert os.environ["GLIBC_TUNABLES"] == "glibc.malloc.check=3"
