"""The clock of trials: UTC, so that workers and commands in several time zones agree.

Optuna writes the local time of the process that runs a trial, without its zone. Workers therefore run in UTC.
"""

import os
import time
from datetime import UTC, datetime


def now() -> datetime:
    """Return the present time as trials record it: UTC, without a zone."""
    return datetime.now(UTC).replace(tzinfo=None)


def run_in_utc() -> None:
    """Make UTC the local time of this process; Windows keeps its own."""
    os.environ["TZ"] = "UTC"
    if hasattr(time, "tzset"):
        time.tzset()
