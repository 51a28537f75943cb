import os

import pytest

from atml.defaults import default_workers, granted_cores


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system grants every core")
def test_there_are_no_more_workers_than_cores_granted():
    granted = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(granted)})
    try:
        assert (granted_cores(), default_workers()) == (1, 1)
    finally:
        os.sched_setaffinity(0, granted)
