"""Default values."""

import math
import os
from pathlib import Path

STORAGE = "sqlite:///atml.db"
ARTIFACTS = "artifacts"
OUT = Path("results")
AUDIT = Path("audit")
MOST_WORKERS = 8  # each takes about 500 MB of memory

CPU_MAX = Path("/sys/fs/cgroup/cpu.max")
PACKAGE = Path(__file__).resolve().parent


def specs_folder() -> Path:
    """Return the folder of the specs that ship with ATML.

    It is inside the installed package, or in the checkout that the package runs from.
    """
    installed = PACKAGE / "studies"
    return installed if installed.exists() else PACKAGE.parent / "studies"


def default_spec(name: str) -> Path:
    """Return the path of a spec that ships with ATML, such as `phase1.toml`."""
    return specs_folder() / name


def granted_cores() -> int:
    """Return how many cores this process may use; a container or a batch system may allow only some."""
    granted = getattr(os, "sched_getaffinity", None)
    cores = len(granted(0)) if granted else os.cpu_count() or 1
    return min(cores, _quota(CPU_MAX) or cores)


def _quota(path: Path) -> int | None:
    """Return the cores that a container's quota of CPU time is worth (cgroup 2); None without a quota."""
    try:
        quota, period = path.read_text().split()
        return math.ceil(int(quota) / int(period))  # without a quota it is "max"
    except (OSError, ValueError):
        return None


def default_workers() -> int:
    """Return one worker per core, at most eight."""
    return min(MOST_WORKERS, granted_cores())
