"""Who a recording is of. A wrong answer puts one person on both sides of a split."""

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

from atml.errors import BadRecording, DataError

# Rows of a table are named file:0, file:1 …, files in folders folder/0, folder/1 …
_NUMBERED_END = re.compile(r"(.*[^_:/ -])[_:/ -][0-9]+")
_LONGEST_NUMBER = 9  # digits; hashed numbers have nine, which keep when segments are imported again
SUGGESTED_PATTERN = "(.+)[_:/ -][0-9]+$"


def compiled(pattern: str | None) -> re.Pattern[str] | None:
    """Return the pattern that finds the person in a record's name.

    Raises:
        DataError: it is not a regular expression.
    """
    try:
        return None if pattern is None else re.compile(pattern)
    except re.error as error:
        raise DataError(f"--subject {pattern}: not a regular expression: {error}") from None


def person(record: str, stated: str | None, pattern: re.Pattern[str] | None) -> str:
    """Return the name of the person: what the pattern finds, what the source states, or the record's name.

    Raises:
        BadRecording: the pattern finds nothing in the record's name.
    """
    name = stated or record
    if pattern is not None:
        found = pattern.search(record)
        name = "" if found is None else (found[1] if pattern.groups else found[0]) or ""
        if not name:
            raise BadRecording(f"--subject {pattern.pattern} finds nothing in its name; correct the pattern")
    # The same letters may be stored in two ways, as by macOS and by Linux in names of files.
    return unicodedata.normalize("NFC", name)


def number(person: str) -> str:
    """Return a person's number, the same in every import, so that train and test agree.

    It depends on nothing but the name: a name of digits is the number itself, without leading zeros; of any
    other name it is nine digits of the hash.
    """
    if person.isascii() and person.isdigit() and len(person) <= _LONGEST_NUMBER:
        return person.lstrip("0") or "0"
    return str(10**8 + int(hashlib.sha256(person.encode()).hexdigest(), 16) % (9 * 10**8))


def check_numbers(people: Iterable[str]) -> None:
    """Refuse two people with the same number.

    Raises:
        DataError: there are some; says who.
    """
    names: dict[str, str] = {}
    for name in sorted(set(people)):
        other = names.setdefault(number(name), name)
        if other != name:
            raise DataError(
                f"{other!r} and {name!r} would both be subject S{number(name)}; rename one of them, or take "
                "other names from the records' names with --subject."
            )


def look_like_one_person(records: Iterable[str]) -> tuple[str, ...]:
    """Return some record names that differ only in a number at the end, as anna_1 and anna_2 do."""
    groups = defaultdict(list)
    for record in records:
        found = _NUMBERED_END.fullmatch(record)
        if found is not None:
            groups[found[1]].append(record)
    several = [names for names in groups.values() if len(names) > 1]
    return tuple(several[0][:3]) if several else ()
