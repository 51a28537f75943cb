"""Numbers with nouns."""


def counted(count: int, noun: str) -> str:
    """Return a count with its noun, such as "1 trial" or "2,400 segments"."""
    return f"{count:,} {noun if count == 1 else f'{noun}s'}"
