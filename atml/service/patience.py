"""A PostgreSQL storage that waits for its server: a restart costs time, not trials."""

import functools
import logging
import math
import random
import time
from collections.abc import Callable, Sequence
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
MAY_NOT_WRITE = ("42501", "25006")  # insufficient privilege, read-only transaction
DISK_FULL = "53100"

_logger = logging.getLogger(__name__)
_Result = TypeVar("_Result")


class PatientStorage(LeanStorage):
    """Repeats, with growing delays, whatever failed because the server did not answer.

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
        StorageError: this user may not write.
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
        self._patience_seconds = patience_seconds
        self._give_up = give_up
        self._has_given_up = False
        self._is_away = False
        self._back_since: float | None = None
        self._full_until = 0.0  # no write is waited for again before that time

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Change a trial's state; True if it is in that state now by the doing of this process."""
        attempts = 0

        def change() -> bool:
            nonlocal attempts
            attempts += 1
            try:
                return super(PatientStorage, self).set_trial_state_values(trial_id, state, values)
            except UpdateFinishedTrialError:
                # The first attempt may have got through, and only its answer have been lost.
                if attempts > 1 and self.get_trial(trial_id).state == state:
                    return True
                raise

        return self._persist(change)

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        # Nobody could write a heartbeat while the server was away: give all of them time to.
        grace_seconds = self.grace_period or 0
        if self._back_since is not None and time.monotonic() - self._back_since < grace_seconds:
            return []
        return self._persist(lambda: super(PatientStorage, self)._get_stale_trial_ids(study_id))

    def record_heartbeat(self, trial_id: int) -> None:
        """Say that the trial's process lives; while nobody listens, that is left out."""
        try:
            super().record_heartbeat(trial_id)
        except StorageInternalError as error:
            if not is_outage(error.__cause__):
                raise
            self._is_away = True
        else:
            self._note_answer()

    def _persist(self, call: Callable[[], _Result]) -> _Result:
        """Call until it works, or waiting has no sense."""
        began = time.monotonic()
        delay_seconds = FIRST_DELAY_SECONDS
        while True:
            try:
                result = call()
            except StorageInternalError as error:
                self._raise_if_hopeless(error, waited_seconds=time.monotonic() - began)
                self._is_away = True
                if delay_seconds == FIRST_DELAY_SECONDS:
                    _logger.warning("%s %s; trying again", self._shown, _complaint(error.__cause__))
                # Apart from one another, or all workers would come back in the same instant.
                time.sleep(delay_seconds * random.uniform(0.5, 1.0))
                delay_seconds = min(2 * delay_seconds, LONGEST_DELAY_SECONDS)
            else:
                self._note_answer()
                return result

    def _note_answer(self) -> None:
        if self._is_away:
            self._back_since = time.monotonic()
        self._is_away = self._has_given_up = False

    def _raise_if_hopeless(self, error: StorageInternalError, *, waited_seconds: float) -> None:
        cause = error.__cause__
        if _sqlstate(cause) in MAY_NOT_WRITE:
            raise StorageError(
                f"{self._shown}: this user may only read here, but a search has to write; "
                "grant it INSERT, UPDATE and DELETE on all tables, or use another user"
            ) from None
        if not is_outage(cause):
            reason = str(getattr(cause, "orig", None) or cause or error).strip().splitlines()[0]
            raise StorageError(f"{self._shown}: the database refuses: {reason}") from error
        if _sqlstate(cause) == DISK_FULL:
            self._raise_if_full_for_long(waited_seconds)
            return
        if self._has_given_up or self._give_up() or waited_seconds >= self._patience_seconds:
            self._is_away = self._has_given_up = (
                True  # what follows, such as closing the trial, need not wait again
            )
            raise StorageUnreachable(
                f"{self._shown}: the database has not answered{_for(waited_seconds)}; nothing is lost"
            ) from None

    def _raise_if_full_for_long(self, waited_seconds: float) -> None:
        # A full server still answers those who read, so an answer does not mean that there is room.
        now = time.monotonic()
        if now < self._full_until or self._give_up() or waited_seconds >= self._patience_seconds:
            self._full_until = max(self._full_until, now + self._patience_seconds)
            raise CannotWrite(
                f"cannot write {self._shown}: its server's disk is full; make room there"
            ) from None


def is_outage(error: BaseException | None) -> bool:
    """Whether the server was away, or too busy, when this happened; the same may work later."""
    if isinstance(error, sqlalchemy_errors.PendingRollbackError):
        return True  # a second query on the connection that was lost by the first
    if not isinstance(error, sqlalchemy_errors.DBAPIError):
        return isinstance(error, sqlalchemy_errors.TimeoutError)
    return error.connection_invalidated or isinstance(error, sqlalchemy_errors.OperationalError)


def _sqlstate(error: BaseException | None) -> str | None:
    return getattr(getattr(error, "orig", None), "sqlstate", None)


def _for(seconds: float) -> str:
    return f" for {seconds:.0f} s" if math.isfinite(seconds) else ""


def _complaint(error: BaseException | None) -> str:
    """Return what is to be waited for; somebody restarts a server, or makes room for it."""
    return "has no room left on its disk" if _sqlstate(error) == DISK_FULL else "does not answer"


def _patient(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def persistent(self: PatientStorage, *args: Any, **kwargs: Any) -> Any:
        return self._persist(lambda: method(self, *args, **kwargs))

    return persistent


def _impatient(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def attempted(self: PatientStorage, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except StorageInternalError as error:
            self._raise_if_hopeless(error, waited_seconds=float("inf"))
            raise

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
