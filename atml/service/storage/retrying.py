"""A storage that retries when its server does not answer: a restart costs time, not trials."""

import json
import logging
import math
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import optuna
from optuna.exceptions import StorageInternalError
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
_Untyped: Any = object  # lets mypy take a Storage for the BaseStorage that it is registered as


class Storage(_Untyped):  # type: ignore[misc]
    """The storage of Optuna's studies, with retries.

    Each method of Optuna's storage is one transaction, so it can be repeated as a whole. If the reply to a
    successful commit is lost, the repetition loses nothing. A trial that was created or claimed, which the
    repetition takes for another's, runs without a process until it is closed like a dead worker's after a
    minute and queued again. A trial that was enqueued twice is pruned as a duplicate. Closing a trial twice
    raises UpdateFinishedTrialError.

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

    def fail_trial(self, study_id: int, trial_id: int, successor: FrozenTrial | None) -> None:
        """Close a running trial as failed and queue its successor, both or neither.

        Raises:
            UpdateFinishedTrialError: the trial had ended, maybe by a call whose reply was lost.
        """

        def fail() -> None:
            with self._database.transaction():
                # Before the trial, as for a claim: otherwise each could wait for the other.
                self._database.lock_study(study_id)
                self._database.set_trial_state_values(trial_id, TrialState.FAIL)
                if successor is not None:
                    self._database.create_new_trial(study_id, successor)

        self.retry(fail)

    def remove_session(self) -> None:
        """Close this thread's session."""
        self._database.remove_session()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Return a method of Optuna's storage that retries if the database does not answer."""
        method = getattr(self._cached, name)

        def repeatable(*arguments: Any, **options: Any) -> Any:
            def call() -> Any:
                with reading(name.startswith("get_")):
                    return method(*arguments, **options)

            return self.once(call) if name in _ONCE else self.retry(call)

        return repeatable


BaseStorage.register(Storage)


def warn_once(state: RetryCallState) -> None:
    """Log the first repetition of a call."""
    if state.attempt_number == 1 and state.outcome is not None:
        _logger.warning("%s; trying again", state.outcome.exception())
