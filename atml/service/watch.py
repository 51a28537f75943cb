"""Callbacks through which long calls report progress."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from atml.service.stored import StoredStudy

Update = Callable[[int, int], None]  # called with (done, total)


class Watch:
    """Ignores every report; override the methods that you need."""

    def say(self, text: str) -> None:
        """Receive a message for the user."""

    def progress(self, what: str, unit: str) -> AbstractContextManager[Update]:  # noqa: ARG002
        """Follow an operation that is counted in `unit`, such as files."""
        return nullcontext(lambda _done, _total: None)

    def study(self, stored: "StoredStudy") -> AbstractContextManager["StudyWatch"]:  # noqa: ARG002
        """Follow the trials of a study while its workers run."""
        return nullcontext(StudyWatch())


class StudyWatch:
    """Ignores every report about a study."""

    def update(self) -> None:
        """Called twice a second while the workers run."""

    def say(self, text: str) -> None:
        """Receive a message for the user."""
