"""Waiting for what other processes do."""

import os
import time

PATIENCE_SECONDS = float(os.environ.get("ATML_TEST_PATIENCE", "240"))  # more on a machine that is busy


def until(condition):
    """Wait for something that will happen; what never happens is an error, not a slow test."""
    due = time.monotonic() + PATIENCE_SECONDS
    while not (result := condition()):
        assert time.monotonic() < due
        time.sleep(0.05)
    return result
