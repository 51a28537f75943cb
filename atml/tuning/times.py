"""The clock of trials, so that workers and commands in several time zones agree.

Optuna's databases hold UTC. Optuna takes times without a zone as local ones when it writes them, and returns
local ones, so they compare with this process's clock in whatever zone it runs. Workers run in UTC, where no
hour is skipped or repeated within a trial.
"""

import os
import time
from datetime import datetime


def now() -> datetime:
    """Return the present time as this process reads those of trials: local, without a zone."""
    return datetime.now()


def run_in_utc() -> None:
    """Make UTC the local time of this process; Windows keeps its own."""
    os.environ["TZ"] = "UTC"
    if hasattr(time, "tzset"):
        time.tzset()
