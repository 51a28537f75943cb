"""Shows progress on standard error."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from atml.cli.console import bar, err
from atml.cli.display import StudyDisplay
from atml.service.watch import StudyWatch, Watch

if TYPE_CHECKING:
    from atml.service.stored import StoredStudy


class Terminal(Watch):
    """Prints messages, progress bars and a study's trials."""

    def say(self, text: str) -> None:
        """Print a message."""
        err().print(text)

    def progress(self, what: str, unit: str) -> AbstractContextManager[Callable[[int, int], None]]:
        """Show a progress bar."""
        return bar(what, unit)

    def study(self, stored: "StoredStudy") -> AbstractContextManager[StudyWatch]:
        """Show the trials of a study."""
        return StudyDisplay(stored)
