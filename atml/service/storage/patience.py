"""Waiting for a server that does not answer: a restart costs time, not trials."""

import functools
import logging
import math
import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage

from atml.errors import CannotWrite, StorageUnreachable

# Commands with someone waiting in front of them say soon what is wrong; workers sit a maintenance out.
COMMAND_PATIENCE_SECONDS = 10.0
WORKER_PATIENCE_SECONDS = 600.0
FIRST_DELAY_SECONDS = 0.1
LONGEST_DELAY_SECONDS = 5.0
RETRY_SECONDS = 1.0  # while a server has yet to start

# What every storage asks its server itself; its other methods call these.
QUESTIONS = (
    "set_study_user_attr",
    "set_study_system_attr",
    "get_study_id_from_name",
    "get_study_name_from_id",
    "get_study_directions",
    "get_study_user_attrs",
    "get_study_system_attrs",
    "get_all_studies",
    "get_trial_id_from_study_id_trial_number",
    "set_trial_intermediate_value",
    "set_trial_user_attr",
    "set_trial_system_attr",
    "get_trial",
)
COMMANDS = ("create_new_study", "delete_study")  # their user would rather be told than wait

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
        is_full: Whether such an outage means that the server's disk is full.
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
        self._has_given_up = False
        self._is_away = False
        self._back_since: float | None = None
        self._full_until = 0.0  # no write is waited for again before that time

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
                    complaint = "has no room left on its disk" if self._is_full(error) else "does not answer"
                    _logger.warning("%s %s; trying again", self._shown, complaint)
                # Apart from one another, or all workers would come back in the same instant.
                time.sleep(delay_seconds * random.uniform(0.5, 1.0))
                delay_seconds = min(2 * delay_seconds, LONGEST_DELAY_SECONDS)
            else:
                self._note_answer()
                return result

    def attempt(self, call: Callable[[], _Result]) -> _Result:
        """Call once: somebody waits who would rather be told.

        Raises:
            StorageUnreachable: the server does not answer.
            CannotWrite: its disk is full.
        """
        try:
            return call()
        except self._failure as error:
            self._raise_if_hopeless(error, waited_seconds=math.inf)
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
                f"{self._shown}: {self._server} has not answered{_for(waited_seconds)}; nothing is lost"
            ) from None

    def _raise_if_full_for_long(self, waited_seconds: float) -> None:
        # A full server still answers those who read, so an answer does not mean that there is room.
        now = time.monotonic()
        if now < self._full_until or self._give_up() or waited_seconds >= self._seconds:
            self._full_until = max(self._full_until, now + self._seconds)
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


def _for(seconds: float) -> str:
    return f" for {seconds:.0f} s" if math.isfinite(seconds) else ""


def make_patient(storage: type[BaseStorage], *own_questions: str) -> None:
    """Send a storage's questions through its method `persist`, and commands through `attempt`.

    Args:
        storage: A class with these two methods.
        own_questions: Methods that ask the server in this storage, beside those of every storage.
    """
    for name in (*QUESTIONS, *own_questions):
        setattr(storage, name, _through("persist", getattr(storage, name)))
    for name in COMMANDS:
        setattr(storage, name, _through("attempt", getattr(storage, name)))


def _through(way: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def asked(self: BaseStorage, *arguments: Any, **options: Any) -> Any:
        return getattr(self, way)(lambda: method(self, *arguments, **options))

    return asked
