"""A worker without a given study: serves every unfinished one, oldest first, and waits for more."""

import time
from collections.abc import Callable

from optuna.storages import BaseStorage

from atml.errors import AtmlError, CannotWrite, StorageUnreachable
from atml.service.alive import close_dead_trials
from atml.service.stored import StoredStudy
from atml.service.studies import begin, load_all
from atml.service.worker import WorkerSettings, is_fully_claimed, is_over, work
from atml.tuning import stop

IDLE_SECONDS = 1.0
RETRY_SECONDS = 60.0  # somebody has to make room or mount a disk, which takes time


def serve(storage: BaseStorage, settings: WorkerSettings, *, say: Callable[[str], None]) -> None:
    """Work on all studies until asked to leave.

    A study that this machine cannot serve, for example because its data is missing or it was deleted, is
    reported and retried every minute while the others continue. A full or read-only disk is retried likewise.

    Raises:
        StorageUnreachable: the database server was unreachable for too long.
    """
    leave = settings.leave.requested
    refusals = _Refusals(say)
    while not leave():
        try:
            if not _serve_each(storage, settings, say, refusals):
                time.sleep(IDLE_SECONDS)
        except CannotWrite as error:
            say(f"{error}; trying again in {RETRY_SECONDS:.0f} s")
            _wait(RETRY_SECONDS, leave)


class _Refusals:
    """The studies that cannot be served here now; each reason is reported once."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._found: dict[str, tuple[str, float]] = {}  # reason, time

    def add(self, study: str, error: AtmlError) -> None:
        if self._found.get(study, ("", 0.0))[0] != str(error):
            self._say(f"{study}: skipped: {error}")
        self._found[study] = (str(error), time.monotonic())

    def holds(self, study: str) -> bool:
        return study in self._found and time.monotonic() - self._found[study][1] < RETRY_SECONDS


def _wait(seconds: float, leave: Callable[[], bool]) -> None:
    due = time.monotonic() + seconds
    while not leave() and time.monotonic() < due:
        time.sleep(min(IDLE_SECONDS, seconds))


def _serve_each(
    storage: BaseStorage, settings: WorkerSettings, say: Callable[[str], None], refusals: _Refusals
) -> bool:
    """Work on the first study that has anything to do; return whether there was one."""
    for stored in load_all(storage, refusals.add):
        name = stored.study.study_name
        if settings.leave.requested() or refusals.holds(name):
            continue
        try:
            if _serve_one(storage, stored, settings, say):
                return True  # what was read before it may be hours old
        except (StorageUnreachable, CannotWrite):
            raise
        except AtmlError as error:
            refusals.add(name, error)
    return False


def _serve_one(
    storage: BaseStorage, stored: StoredStudy, settings: WorkerSettings, say: Callable[[str], None]
) -> bool:
    """Work on one study; return whether there was anything to do."""
    if stop.read(stored.study) is not None:
        return False
    if stored.waits_for is not None:
        begun = begin(storage, stored)
        if begun is None:
            return False
        stored = begun
    checked = close_dead_trials(stored.study)
    if is_over(stored, checked) or is_fully_claimed(stored, checked):
        return False
    say(f"{stored.study.study_name}: joined")
    work(stored, settings, wait=False)
    sign = stop.read(stored.study)
    if sign is not None:
        say(f"{stored.study.study_name}: left, since {sign.because}")
    return True
