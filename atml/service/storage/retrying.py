"""A storage that retries when its server does not answer: a restart costs time, not trials."""

import functools
import json
import logging
import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay
from tenacity.wait import wait_random_exponential

from atml.errors import CannotWrite, StorageError, StorageUnreachable, StudyDeleted
from atml.service.storage.database import Database
from atml.service.storage.sqlite import reading
from atml.tuning.times import now

# The user of a command wants to know soon what is wrong; workers can wait for maintenance to end.
COMMAND_RETRY_SECONDS = 10.0
WORKER_RETRY_SECONDS = 600.0
FIRST_DELAY_SECONDS = 0.1
LONGEST_DELAY_SECONDS = 5.0

# If repeated, these would fail because the first call succeeded.
_ONCE = ("create_new_study", "delete_study")
_PASSING = (StorageUnreachable, CannotWrite, StorageInternalError)

_logger = logging.getLogger(__name__)
_Result = TypeVar("_Result")


def _relayed(name: str) -> Callable[..., Any]:
    """Return a method that calls the database, and retries if it does not answer."""

    @functools.wraps(getattr(BaseStorage, name), updated=())  # without the abstract flag
    def method(self: "Storage", *arguments: Any, **options: Any) -> Any:
        def call() -> Any:
            with reading(name.startswith("get_")):
                return getattr(self._cached, name)(*arguments, **options)

        return self.once(call) if name in _ONCE else self.retry(call)

    return method


_methods = {name: _relayed(name) for name in vars(BaseStorage) if not name.startswith("_")}
_Relay: Any = type("_Relay", (BaseStorage,), _methods)


class Storage(_Relay):  # type: ignore[misc]
    """The storage of Optuna's studies, with retries.

    Each method of Optuna's storage is one transaction, so it can be repeated as a whole. If the reply to
    a successful commit is lost, the repetition is harmless: a trial enqueued twice is pruned as a
    duplicate, and a running trial that no process works on is closed and queued again.

    It retries for `retry_seconds`, or until `give_up`, polled while waiting, is true.

    Every method may raise:
        StorageUnreachable: the server has not answered for `retry_seconds`.
        CannotWrite: the disk is full, read-only or gone.
        StorageError: this user may not write, or the database reports another error.
        StudyDeleted: there is no such study or trial, or no longer.
    """

    def __init__(
        self, database: Database, *, retry_seconds: float, give_up: Callable[[], bool] = lambda: False
    ) -> None:
        self.engine = database.engine
        self._database = database
        self._cached = optuna.storages.get_storage(database)
        self._gave_up = -math.inf
        self._outage = -math.inf  # time of the last call that reached no server

        timeout = stop_after_delay(retry_seconds)

        def is_hopeless() -> bool:
            # Calls after giving up, such as closing the trial, should not wait again.
            return give_up() or time.monotonic() - self._gave_up < retry_seconds

        # A file's disk is local, so waiting does not help.
        self._passing = () if self.engine.name == "sqlite" else _PASSING
        self._retrying = Retrying(
            retry=retry_if_exception_type(self._passing),
            stop=lambda state: is_hopeless() or timeout(state),
            wait=wait_random_exponential(multiplier=FIRST_DELAY_SECONDS, max=LONGEST_DELAY_SECONDS),
            before_sleep=warn_once,
            reraise=True,
        )

    @property
    def seconds_since_outage(self) -> float:
        """Seconds since this process last failed to reach the server; infinite if it never failed."""
        return time.monotonic() - self._outage

    def retry(self, call: Callable[[], _Result]) -> _Result:
        """Call until it succeeds or further waiting is pointless."""
        # Most calls succeed, and a pooled connection that the server has closed is replaced at once.
        with suppress(*self._passing):
            return self.once(call)
        try:
            result: _Result = self._retrying(self.once, call)
            return result
        except (StorageUnreachable, CannotWrite):
            self._gave_up = time.monotonic()
            raise

    def once(self, call: Callable[[], _Result]) -> _Result:
        """Call once, without retries."""
        try:
            return call()
        except _PASSING:
            self._outage = time.monotonic()
            raise
        except KeyError:
            raise StudyDeleted(
                f"{self._database.shown}: there is no such study or trial; somebody may have deleted it"
            ) from None
        except json.JSONDecodeError as error:
            raise StorageError(
                f"{self._database.shown}: an attribute of a study or a trial is not JSON ({error}); "
                "restore the database from a backup"
            ) from None

    def start_trial(self, study_id: int, template: FrozenTrial) -> int:
        """Create a running trial whose start time is that at which others see it; return its identifier."""

        def create() -> int:
            self._database.lock_study(study_id)
            template.datetime_start = now()
            return self._cached.create_new_trial(study_id, template)

        return self.retry(create)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Change a trial's state; return True if this process has put it into that state."""
        attempts = 0

        def change() -> bool:
            nonlocal attempts
            attempts += 1
            try:
                return self._cached.set_trial_state_values(trial_id, state, values)
            except UpdateFinishedTrialError:
                # The first attempt may have succeeded and only its reply was lost.
                if attempts == 1 or self._cached.get_trial(trial_id).state != state:
                    raise
                return True

        return self.retry(change)

    def remove_session(self) -> None:
        """Close this thread's session."""
        self._database.remove_session()


def warn_once(state: RetryCallState) -> None:
    """Log the first repetition of a call."""
    if state.attempt_number == 1 and state.outcome is not None:
        _logger.warning("%s; trying again", state.outcome.exception())
