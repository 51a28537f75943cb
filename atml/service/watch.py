"""What a long call tells while it runs."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from atml.service.studies import StoredStudy

Update = Callable[[int, int], None]  # called with (done, in all)


class Watch:
    """Hears nothing; override what you want to hear."""

    def say(self, text: str) -> None:
        """Take a remark that the user should read."""

    def progress(self, what: str, unit: str) -> AbstractContextManager[Update]:  # noqa: ARG002
        """Follow a wait that is counted in `unit`, such as files."""
        return nullcontext(lambda _done, _total: None)

    def study(self, stored: "StoredStudy") -> AbstractContextManager["StudyWatch"]:  # noqa: ARG002
        """Follow the trials of a study while its workers run."""
        return nullcontext(StudyWatch())


class StudyWatch:
    """Hears nothing of a study."""

    def update(self) -> None:
        """Look at the study; called twice a second."""

    def say(self, text: str) -> None:
        """Take a remark that the user should read."""
