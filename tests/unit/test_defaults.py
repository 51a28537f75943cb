import os

import pytest

from atml import defaults
from atml.defaults import default_workers, granted_cores


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system grants every core")
def test_there_are_no_more_workers_than_cores_granted():
    granted = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(granted)})
    try:
        assert (granted_cores(), default_workers()) == (1, 1)
    finally:
        os.sched_setaffinity(0, granted)


@pytest.mark.parametrize(
    ("quota", "cores"), [("50000 100000", 1), ("150000 100000", 2), ("max 100000", 64), ("", 64)]
)
def test_the_quota_of_a_container_counts(quota, cores, monkeypatch, tmp_path):
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    monkeypatch.setattr(defaults, "CPU_MAX", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    assert granted_cores() == cores
