"""A worker without a study of its own: serves every unfinished one, the oldest first, and waits for more."""

import time
from collections.abc import Callable

from optuna.storages import BaseStorage

from atml.errors import AtmlError, CannotWrite, StorageUnreachable
from atml.search import stop
from atml.service.studies import StoredStudy, begin, fail_dead, load_all
from atml.service.worker import WorkerSettings, is_fully_claimed, is_over, work

IDLE_SECONDS = 1.0
NO_ROOM_SECONDS = 60.0  # people make room, and they take their time


def serve(storage: BaseStorage, settings: WorkerSettings, *, say: Callable[[str], None]) -> None:
    """Work on whatever there is until asked to leave.

    A study that this machine cannot serve, for want of its data say, is named once and passed over;
    the others go on. A disk that is full or read-only is named, and tried again every minute.

    Raises:
        StorageUnreachable: the database server has been away for too long.
    """
    leave = settings.leave.requested
    refused: set[str] = set()
    while not leave():
        try:
            if not _serve_each(storage, settings, say, refused):
                time.sleep(IDLE_SECONDS)
        except CannotWrite as error:
            say(f"{error}; trying again in {NO_ROOM_SECONDS:.0f} s")
            _wait(NO_ROOM_SECONDS, leave)


def _wait(seconds: float, leave: Callable[[], bool]) -> None:
    due = time.monotonic() + seconds
    while not leave() and time.monotonic() < due:
        time.sleep(min(IDLE_SECONDS, seconds))


def _serve_each(
    storage: BaseStorage, settings: WorkerSettings, say: Callable[[str], None], refused: set[str]
) -> bool:
    """Work on each study in turn; return whether there was anything to do."""
    worked = False
    for stored in load_all(storage):
        name = stored.study.study_name
        if settings.leave.requested() or name in refused:
            continue
        try:
            worked = _serve_one(storage, stored, settings, say) or worked
        except (StorageUnreachable, CannotWrite):
            raise
        except AtmlError as error:
            refused.add(name)
            say(f"{name}: passed over: {error}")
    return worked


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
    trials = stored.study.get_trials(deepcopy=False)
    if is_over(stored, trials):
        return False
    if is_fully_claimed(stored, trials):
        fail_dead(stored.study)
        return False
    say(f"{stored.study.study_name}: joined")
    work(stored, settings, patient=False)
    return True
