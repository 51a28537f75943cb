"""Who a recording is of. A wrong answer puts one person on both sides of a split."""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable

from atml.errors import BadRecording, DataError

_NUMBER = re.compile(r"[0-9]+")
_NUMBERED_END = re.compile(r"(.*[^_-])[_-][0-9]+")
_LONGEST_NUMBER = 8  # digits; hashed numbers have nine
SUGGESTED_PATTERN = "(.+)[_-][0-9]+$"


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
    if pattern is None:
        return stated or record
    found = pattern.search(record)
    name = "" if found is None else (found[1] if pattern.groups else found[0]) or ""
    if not name:
        raise BadRecording(f"--subject {pattern.pattern} finds nothing in its name; correct the pattern")
    return name


def numbers(people: Iterable[str]) -> dict[str, str]:
    """Return a number for each person, the same in every import, so that train and test agree.

    It is the only number in the name (12 for "data_12"), or nine digits of the name's hash if there is no
    such number or two names share it.
    """
    names = sorted(set(people))
    own = {name: _own_number(name) for name in names}
    shared = Counter(own.values())
    return {name: own[name] if own[name] and shared[own[name]] == 1 else _hashed(name) for name in names}


def _own_number(name: str) -> str:
    found = _NUMBER.findall(name)
    if len(found) != 1 or len(found[0]) > _LONGEST_NUMBER:
        return ""
    return found[0].lstrip("0") or "0"


def _hashed(name: str) -> str:
    return str(10**8 + int(hashlib.sha256(name.encode()).hexdigest(), 16) % (9 * 10**8))


def look_like_one_person(records: Iterable[str]) -> tuple[str, ...]:
    """Return some record names that differ only in a number at the end, as data_1_1 and data_1_2 do."""
    groups = defaultdict(list)
    for record in records:
        found = _NUMBERED_END.fullmatch(record)
        if found is not None and _NUMBER.search(found[1]):
            groups[found[1]].append(record)
    several = [names for names in groups.values() if len(names) > 1]
    return tuple(several[0][:3]) if several else ()
