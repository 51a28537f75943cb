"""Numbers with nouns or units, lists of names, errors on one line, and texts without credentials."""

import re
from collections.abc import Sequence

LONGEST_ERROR = 400
_CREDENTIALS = re.compile(r"(?i)\b([a-z][a-z0-9+.-]+:/+[^\s:@]*):\S*@")


def counted(count: int, noun: str) -> str:
    """Return a count with its noun, such as "1 trial" or "2,400 segments"."""
    return f"{count:,} {noun if count == 1 else f'{noun}s'}"


def kilobytes(count: int | None) -> str:
    """Return a size in KB, a dash for one that is unknown; 1 KB = 1000 bytes."""
    return "–" if count is None else f"{count / 1000:.1f} KB"


def listed(names: Sequence[str], most: int) -> str:
    """Return the first names, at most so many, and how many others there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    # Control characters in a name must not reach the terminal.
    return ", ".join(name if name.isprintable() else ascii(name) for name in names[:most]) + more


def error_in_words(error: Exception) -> str:
    """Return an error's type and text on one line."""
    text = " ".join(str(error).split()) or "no message"
    shown = text if len(text) <= LONGEST_ERROR else f"{text[: LONGEST_ERROR - 1]}…"
    return f"{type(error).__name__}: {shown}"


def hide_credentials(text: str) -> str:
    """Return a text with `***` instead of the passwords and secret keys of the URLs in it.

    They may hold slashes and `@`, so the last `@` counts.
    """
    return _CREDENTIALS.sub(r"\1:***@", text)
