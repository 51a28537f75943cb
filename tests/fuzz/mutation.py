"""Seeded changes of bytes, texts and JSON documents."""

import copy
import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

# What no field expects. Some are right in some places; the commands have to tell.
EVIL = (
    "",
    " ",
    "0",
    "-1",
    "-0.0",
    "nan",
    "inf",
    "-inf",
    "1e200",
    "1e-320",
    "99999999999999999999",
    "9" * 5000,
    "0x10",
    "1_000",
    "½",
    "true",
    "None",
    "[]",
    "{}",
    "[" * 5000 + "]" * 5000,
    "a" * 300,
    "../../etc",
    "/dev/zero",
    "/",
    ".",
    "~",
    "\\",
    "%s%n",
    "{x}",
    "\x1b[31m",
    "line\nbreak",
    "tab\t",
    "ß漢\U0001f600",
    "\udcff",
    "'; DROP TABLE studies; --",
    "-",
    "--help",
    "a,b,,c",
    "a=b=c",
)
_OTHER_TYPES = (None, True, -1, 0, 10**20, 1e300, float("nan"), float("inf"), [], {})
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


def evil(random: Random) -> str:
    """Return a value that no field expects, or a random one."""
    if random.random() < 0.7:
        return random.choice(EVIL)
    return "".join(
        chr(random.choice((random.randrange(1, 128), random.randrange(1, 0xD800))))
        for _ in range(random.randrange(1, 30))
    )


def changed_bytes(random: Random, content: bytes) -> bytes:
    """Return content with one to four changes."""
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        content = random.choice(_CHANGES)(random, content)
    return content


def changed_json(random: Random, document: Any) -> Any:
    """Return a document of which one value, somewhere, is removed, changed or of another type."""
    document = copy.deepcopy(document)
    here = document
    while True:
        keys: Sequence[Any] = list(here) if isinstance(here, dict) else range(len(here))
        if not keys:
            return document
        key = random.choice(keys)
        if isinstance(here[key], dict | list) and random.random() < 0.8:
            here = here[key]
            continue
        if random.random() < 0.3:
            del here[key]
        else:
            here[key] = random.choice((*_OTHER_TYPES, [here[key]], evil(random)))
        return document


def _cut(random: Random, content: bytes) -> bytes:
    return content[: random.randrange(len(content) + 1)]


def _flip(random: Random, content: bytes) -> bytes:
    if not content:
        return b"\0"
    at = random.randrange(len(content))
    return content[:at] + bytes([content[at] ^ (1 << random.randrange(8))]) + content[at + 1 :]


def _overwrite(random: Random, content: bytes) -> bytes:
    at = random.randrange(len(content) + 1)
    new = random.randbytes(random.choice((1, 2, 4, 8, 64)))
    return content[:at] + new + content[at + len(new) :]


def _insert(random: Random, content: bytes) -> bytes:
    at = random.randrange(len(content) + 1)
    return content[:at] + evil(random).encode("utf-8", "surrogateescape") + content[at:]


def _delete(random: Random, content: bytes) -> bytes:
    at = random.randrange(len(content) + 1)
    return content[:at] + content[at + random.choice((1, 2, 8, 100)) :]


def _repeat(random: Random, content: bytes) -> bytes:
    at = random.randrange(len(content) + 1)
    return content[:at] + content[at : at + random.choice((1, 8, 100))] * 3 + content[at:]


def _another_number(random: Random, content: bytes) -> bytes:
    found = list(_NUMBER.finditer(content[:20_000]))
    if not found:
        return _flip(random, content)
    one = random.choice(found)
    return content[: one.start()] + evil(random).encode("utf-8", "surrogateescape") + content[one.end() :]


def _shuffle_lines(random: Random, content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    if len(lines) < 2:
        return content[::-1]
    first, second = random.randrange(len(lines)), random.randrange(len(lines))
    lines[first], lines[second] = lines[second], lines[first]
    return b"".join(lines)


def _other_encoding(random: Random, content: bytes) -> bytes:
    text = content.decode("latin-1")
    way = random.randrange(4)
    if way == 0:
        return text.encode("utf-16")
    if way == 1:
        return b"\xef\xbb\xbf" + content
    return content.replace(b"\n", b"\r\n" if way == 2 else b"\r")


def _nothing_or_else(random: Random, content: bytes) -> bytes:
    return random.choice((b"", b"\0" * 1000, b"\n", random.randbytes(500), b"PK\x03\x04" + content))


_CHANGES: Sequence[Callable[[Random, bytes], bytes]] = (
    _cut,
    _flip,
    _overwrite,
    _insert,
    _delete,
    _repeat,
    _another_number,
    _another_number,
    _shuffle_lines,
    _other_encoding,
    _nothing_or_else,
)
