"""Numbers with nouns, and errors on one line."""

LONGEST_ERROR = 400


def counted(count: int, noun: str) -> str:
    """Return a count with its noun, such as "1 trial" or "2,400 segments"."""
    return f"{count:,} {noun if count == 1 else f'{noun}s'}"


def error_in_words(error: Exception) -> str:
    """Return an error's type and text on one line."""
    text = " ".join(str(error).split()) or "no message"
    shown = text if len(text) <= LONGEST_ERROR else f"{text[: LONGEST_ERROR - 1]}…"
    return f"{type(error).__name__}: {shown}"
