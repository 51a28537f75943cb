"""A PostgreSQL storage that waits for its server: a restart costs time, not trials."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from sqlalchemy import exc as sqlalchemy_errors

from atml.errors import StorageError
from atml.service.storage.lean import LeanStorage
from atml.service.storage.patience import Patience, make_patient

# SQLSTATEs
MAY_NOT_WRITE = ("42501", "25006")  # insufficient privilege, read-only transaction
DISK_FULL = "53100"

_Result = TypeVar("_Result")


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
        StorageError: this user may not write, or the database refuses something else.
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
            is_full=lambda error: _sqlstate(error.__cause__) == DISK_FULL,
            seconds=patience_seconds,
            give_up=give_up,
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
        return self.persist(lambda: super(PatientStorage, self)._get_stale_trial_ids(study_id))

    def record_heartbeat(self, trial_id: int) -> None:
        """Say that the trial's process lives; while nobody listens, that is left out."""
        self._patience.spare(lambda: super(PatientStorage, self).record_heartbeat(trial_id))

    def persist(self, call: Callable[[], _Result]) -> _Result:
        """Call until it works, or waiting has no sense."""
        with self._explained():
            return self._patience.persist(call)

    def attempt(self, call: Callable[[], _Result]) -> _Result:
        """Call once."""
        with self._explained():
            return self._patience.attempt(call)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except StorageInternalError as error:
            cause = error.__cause__
            if _sqlstate(cause) in MAY_NOT_WRITE:
                raise StorageError(
                    f"{self._shown}: this user may only read here, but a search has to write; "
                    "grant it INSERT, UPDATE and DELETE on all tables, or use another user"
                ) from None
            reason = str(getattr(cause, "orig", None) or cause or error).strip().splitlines()[0]
            raise StorageError(f"{self._shown}: the database refuses: {reason}") from error


def is_outage(error: BaseException | None) -> bool:
    """Whether the server was away, or too busy, when this happened; the same may work later."""
    if isinstance(error, sqlalchemy_errors.PendingRollbackError):
        return True  # a second query on the connection that was lost by the first
    if not isinstance(error, sqlalchemy_errors.DBAPIError):
        return isinstance(error, sqlalchemy_errors.TimeoutError)
    return error.connection_invalidated or isinstance(error, sqlalchemy_errors.OperationalError)


def _sqlstate(error: BaseException | None) -> str | None:
    return getattr(getattr(error, "orig", None), "sqlstate", None)


make_patient(
    PatientStorage,
    "get_trial_user_attrs",
    "get_trial_system_attrs",
    "get_trial_param",
    "_create_new_trial",
    "_set_trial_param",
    "_get_trials",
    "_get_best_trial_id",
)
