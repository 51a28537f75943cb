"""Downloading one file over HTTP: resumed where it broke off, and compared with its checksum."""

import hashlib
import http.client
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from atml.errors import DataError
from atml.files import cannot_write, make_folder
from atml.version import __version__

TIMEOUT_SECONDS = 60.0
ATTEMPTS = 5
CHUNK_BYTES = 1 << 20
_RANGE_IS_BEYOND_THE_END = 416
_TRANSIENT_FROM = 500  # HTTP status


class _BrokenOff(Exception):
    """The connection failed or ended early; what has arrived is kept."""


def download(url: str, target: Path, sha256: str | None = None) -> int:
    """Download a file unless it is there; return the number of bytes that were transferred.

    What has arrived is kept in a hidden file beside it, from which the next call continues.

    Raises:
        DataError: the server cannot be reached or refuses, or the checksum is wrong.
        CannotWrite: the file cannot be written.
    """
    if sha256 is not None and target.is_file() and checksum(target) == sha256:
        return 0
    part = target.with_name(f".{target.name}.part")
    make_folder(target.parent)
    if sha256 is None:
        part.unlink(missing_ok=True)  # nothing would show that its halves belong together
    retrying = Retrying(
        retry=retry_if_exception_type(_BrokenOff),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential(multiplier=0.1, max=10),
        reraise=True,
    )
    before = _bytes(part)
    try:
        retrying(_continue, url, part)
    except _BrokenOff as error:
        raise DataError(
            f"cannot download {url}: {error}; check the network connection, then run the same command "
            "again: what has arrived is kept."
        ) from None
    if sha256 is not None and checksum(part) != sha256:
        part.unlink()
        raise DataError(
            f"{url} does not have the checksum in SHA256SUMS.txt, so it was not kept; run the same command "
            "again, and if it fails again, tell the database's maintainers."
        )
    try:
        arrived = _bytes(part)
        part.replace(target)
    except OSError as error:
        raise cannot_write(target, error) from None
    return max(0, arrived - before)


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _continue(url: str, part: Path) -> None:
    """Append the rest of a file to what has arrived of it."""
    have = _bytes(part)
    headers = {"User-Agent": f"atml/{__version__}", **({"Range": f"bytes={have}-"} if have else {})}
    try:
        request = urllib.request.Request(url, headers=headers)  # noqa: S310  (checked by `fetch_recordings`)
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
            if response.status != http.client.PARTIAL_CONTENT:
                have = 0  # the server sends the file from its beginning
            length = response.headers.get("Content-Length")
            _append(response, part, have)
    except urllib.error.HTTPError as error:
        error.close()  # it is a response, too
        if error.code == _RANGE_IS_BEYOND_THE_END:
            return  # it is complete, or not that file at all, as its checksum will show
        if error.code >= _TRANSIENT_FROM:
            raise _BrokenOff(f"the server answers {error.code} {error.reason}") from None
        raise DataError(
            f"{url}: the server answers {error.code} {error.reason}; check the address."
        ) from None
    except (OSError, http.client.HTTPException) as error:  # of the network: writing has its own error
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        raise _BrokenOff(str(reason)) from None
    if length is not None and _bytes(part) < have + int(length):
        raise _BrokenOff("the connection ended early")


def _append(response: IO[bytes], part: Path, have: int) -> None:
    while True:
        content = response.read(CHUNK_BYTES)
        try:
            with part.open("ab") as file:
                file.truncate(have)
                file.write(content)
        except OSError as error:
            raise cannot_write(part, error) from None
        if not content:  # written, too, since a file may be empty
            return
        have += len(content)


def _bytes(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0
