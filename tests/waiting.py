"""Waiting for what other processes do."""

import time

PATIENCE_SECONDS = 120


def until(condition):
    """Wait for something that will happen; what never happens is an error, not a slow test."""
    due = time.monotonic() + PATIENCE_SECONDS
    while not (result := condition()):
        assert time.monotonic() < due
        time.sleep(0.05)
    return result
