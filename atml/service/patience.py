"""Waiting for a server that does not answer: a restart costs time, not trials."""

import functools
import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import TrialState
from sqlalchemy import exc as sqlalchemy_errors

from atml.errors import CannotWrite, StorageError, StorageUnreachable
from atml.service.lean import LeanStorage

# Commands with someone waiting in front of them say soon what is wrong; workers sit a maintenance out.
COMMAND_PATIENCE_SECONDS = 10.0
WORKER_PATIENCE_SECONDS = 600.0
FIRST_DELAY_SECONDS = 0.1
LONGEST_DELAY_SECONDS = 5.0
RETRY_SECONDS = 1.0  # while a server has yet to start
MAY_NOT_WRITE = ("42501", "25006")  # insufficient privilege, read-only transaction
DISK_FULL = "53100"

_logger = logging.getLogger(__name__)
_Result = TypeVar("_Result")


class Patience:
    """Repeats, with growing delays, whatever failed because a server did not answer.

    Args:
        shown: The server's URL as it may be shown.
        server: What it is, in a sentence: "the database".
        failure: What a call raises, whatever the reason.
        is_outage: Whether such an error means that the server was away, so that the same may work later.
        seconds: How long to try again before giving up.
        give_up: Asked while waiting; once true, nothing is waited for any more.
        is_full: Whether an outage is for want of room on the server's disk.
    """

    def __init__(
        self,
        *,
        shown: str,
        server: str,
        failure: type[Exception],
        is_outage: Callable[[Any], bool],
        seconds: float,
        give_up: Callable[[], bool],
        is_full: Callable[[Any], bool] = lambda error: False,
    ) -> None:
        self._shown = shown
        self._server = server
        self._failure = failure
        self._is_outage = is_outage
        self._seconds = seconds
        self._give_up = give_up
        self._is_full = is_full
        self._full_until = 0.0  # no write is waited for again before that time
        self._has_given_up = False
        self._is_away = False
        self._back_since: float | None = None

    def persist(self, call: Callable[[], _Result]) -> _Result:
        """Call until it works, or waiting has no sense.

        Raises:
            StorageUnreachable: the server has not answered for too long.
            CannotWrite: its disk has been full for too long.
        """
        began = time.monotonic()
        delay_seconds = FIRST_DELAY_SECONDS
        while True:
            try:
                result = call()
            except self._failure as error:
                self._raise_if_hopeless(error, waited_seconds=time.monotonic() - began)
                self._is_away = True
                if delay_seconds == FIRST_DELAY_SECONDS:
                    trouble = "has no room left on its disk" if self._is_full(error) else "does not answer"
                    _logger.warning("%s %s; trying again", self._shown, trouble)
                # Apart from one another, or all workers would come back in the same instant.
                time.sleep(delay_seconds * random.uniform(0.5, 1.0))
                delay_seconds = min(2 * delay_seconds, LONGEST_DELAY_SECONDS)
            else:
                self._note_answer()
                return result

    def attempt(self, call: Callable[[], _Result]) -> _Result:
        """Call once; what fails is told as if it had been waited for."""
        try:
            return call()
        except self._failure as error:
            self._raise_if_hopeless(error, waited_seconds=self._seconds)
            raise

    def persist_change(self, change: Callable[[], bool], *, is_done: Callable[[], bool]) -> bool:
        """Change a trial's state; that it has finished is no error if this very change did so before."""
        attempts = 0

        def attempt() -> bool:
            nonlocal attempts
            attempts += 1
            try:
                return change()
            except UpdateFinishedTrialError:
                # The first attempt may have got through, and only its answer have been lost.
                if attempts > 1 and is_done():
                    return True
                raise

        return self.persist(attempt)

    def spare(self, call: Callable[[], None]) -> None:
        """Call once; while nobody listens, that is left out."""
        try:
            call()
        except self._failure as error:
            if not self._is_outage(error):
                raise
            self._is_away = True
        else:
            self._note_answer()

    def is_back_for_less_than(self, seconds: float) -> bool:
        """Whether an outage ended less than that long ago."""
        return self._back_since is not None and time.monotonic() - self._back_since < seconds

    def _note_answer(self) -> None:
        if self._is_away:
            self._back_since = time.monotonic()
        self._is_away = self._has_given_up = False

    def _raise_if_hopeless(self, error: Exception, *, waited_seconds: float) -> None:
        if not self._is_outage(error):
            raise error
        if self._is_full(error):
            self._raise_if_full_for_long(waited_seconds)
        elif self._has_given_up or self._give_up() or waited_seconds >= self._seconds:
            # What follows, such as closing the trial, need not wait again.
            self._is_away = self._has_given_up = True
            raise StorageUnreachable(
                f"{self._shown}: {self._server} has not answered for {waited_seconds:.0f} s; nothing is lost"
            ) from None

    def _raise_if_full_for_long(self, waited_seconds: float) -> None:
        # A full server still answers those who read, so an answer does not mean that there is room.
        now = time.monotonic()
        if now < self._full_until or self._give_up() or waited_seconds >= self._seconds:
            self._full_until = now + self._seconds
            raise CannotWrite(
                f"cannot write {self._shown}: its server's disk is full; make room there"
            ) from None


def wait_until_open(
    attempt: Callable[[], _Result],
    *,
    patience_seconds: float,
    wait_for_server: bool,
    give_up: Callable[[], bool],
) -> _Result:
    """Open something on a server, which may have yet to start.

    Raises:
        StorageUnreachable: no server answers.
    """
    due = time.monotonic() + (patience_seconds if wait_for_server else 0.0)
    is_told = False
    while True:
        try:
            return attempt()
        except StorageUnreachable as error:
            if time.monotonic() >= due or give_up():
                raise
            if not is_told:
                _logger.warning("%s; trying again for %.0f s", error, patience_seconds)
            is_told = True
            time.sleep(RETRY_SECONDS)


class PatientStorage(LeanStorage):
    """A PostgreSQL storage that repeats what failed because the server did not answer.

    Each method of Optuna's storage is one transaction, so it can be repeated as a whole. The answer to
    a commit may be lost although the commit was not; what may then be there twice is harmless: an
    enqueued trial is pruned as a duplicate, and a running trial that no process works on is closed
    and queued again.

    Args:
        url: A SQLAlchemy URL with its password.
        shown: The URL as it may be shown.
        patience_seconds: How long to try again before giving up.
        give_up: Asked while waiting; once true, nothing is waited for any more.
        options: For `RDBStorage`.

    Every method may raise:
        StorageUnreachable: the server has not answered for `patience_seconds`.
        CannotWrite: its disk has been full for as long.
        StorageError: this user may not write, or the server refuses for another reason.
    """

    def __init__(
        self,
        url: str,
        *,
        shown: str,
        patience_seconds: float,
        give_up: Callable[[], bool] = lambda: False,
        **options: Any,
    ) -> None:
        try:
            super().__init__(url, **options)
        except BaseException:
            if engine := vars(self).get("engine"):
                engine.dispose()  # else its connection would stay open
            raise
        self._shown = shown
        self._patience = Patience(
            shown=shown,
            server="the database",
            failure=StorageInternalError,
            is_outage=lambda error: is_outage(error.__cause__),
            seconds=patience_seconds,
            give_up=give_up,
            is_full=lambda error: _sqlstate(error.__cause__) == DISK_FULL,
        )

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Change a trial's state; True if it is in that state now by the doing of this process."""
        with self._explained():
            return self._patience.persist_change(
                lambda: super(PatientStorage, self).set_trial_state_values(trial_id, state, values),
                is_done=lambda: self.get_trial(trial_id).state == state,
            )

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        # Nobody could write a heartbeat while the server was away: give all of them time to.
        if self._patience.is_back_for_less_than(self.grace_period or 0):
            return []
        return self._persist(lambda: super(PatientStorage, self)._get_stale_trial_ids(study_id))

    def record_heartbeat(self, trial_id: int) -> None:
        """Say that the trial's process lives; while nobody listens, that is left out."""
        self._patience.spare(lambda: super(PatientStorage, self).record_heartbeat(trial_id))

    def _persist(self, call: Callable[[], _Result]) -> _Result:
        with self._explained():
            return self._patience.persist(call)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except StorageInternalError as error:
            if _sqlstate(error.__cause__) in MAY_NOT_WRITE:
                raise StorageError(
                    f"{self._shown}: this user may only read here, but a search has to write; "
                    "grant it INSERT, UPDATE and DELETE on all tables, or use another user"
                ) from None
            raise StorageError(f"{self._shown}: the database refuses: {_words_of(error)}") from error


def is_outage(error: BaseException | None) -> bool:
    """Whether the server was away, or too busy, when this happened; the same may work later."""
    if isinstance(error, sqlalchemy_errors.PendingRollbackError):
        return True  # a second query on the connection that was lost by the first
    if not isinstance(error, sqlalchemy_errors.DBAPIError):
        return isinstance(error, sqlalchemy_errors.TimeoutError)
    return error.connection_invalidated or isinstance(error, sqlalchemy_errors.OperationalError)


def _sqlstate(error: BaseException | None) -> str | None:
    return getattr(getattr(error, "orig", None), "sqlstate", None)


def _words_of(error: StorageInternalError) -> str:
    cause = error.__cause__
    return str(getattr(cause, "orig", None) or cause or error).strip().splitlines()[0]


def _patient(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def persistent(self: PatientStorage, *args: Any, **kwargs: Any) -> Any:
        return self._persist(lambda: method(self, *args, **kwargs))

    return persistent


def _impatient(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def attempted(self: PatientStorage, *args: Any, **kwargs: Any) -> Any:
        with self._explained():
            return self._patience.attempt(lambda: method(self, *args, **kwargs))

    return attempted


# Those that open a transaction themselves; the others call them. Creating and deleting a study are
# not repeated: a command does it, whose user would rather be told.
_TRANSACTIONS = (
    "set_study_user_attr",
    "set_study_system_attr",
    "get_study_id_from_name",
    "get_study_name_from_id",
    "get_study_directions",
    "get_study_user_attrs",
    "get_study_system_attrs",
    "get_trial_user_attrs",
    "get_trial_system_attrs",
    "get_all_studies",
    "_create_new_trial",
    "_set_trial_param",
    "get_trial_param",
    "set_trial_intermediate_value",
    "set_trial_user_attr",
    "set_trial_system_attr",
    "get_trial_id_from_study_id_trial_number",
    "get_trial",
    "_get_trials",
    "_get_best_trial_id",
)
for _name in _TRANSACTIONS:
    setattr(PatientStorage, _name, _patient(getattr(LeanStorage, _name)))
for _name in ("create_new_study", "delete_study"):
    setattr(PatientStorage, _name, _impatient(getattr(LeanStorage, _name)))
