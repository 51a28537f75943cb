"""Writing files whole or not at all, and saying in one sentence why a place cannot be written to."""

import contextlib
import errno
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from atml.errors import CannotWrite

TEMPORARY = ".tmp"  # how the names of unfinished files end; they begin with a dot
ABANDONED_SECONDS = 3600.0  # an unfinished file that nobody has written to for so long
PROBE_BYTES = 1 << 20  # more than a trial writes at once

# Reason and advice for what disks and administrators do; anything else is told in the system's words.
_TOLD = {
    errno.ENOSPC: ("its disk is full", "make room there"),
    errno.EDQUOT: ("this user's share of its disk is used up", "make room there"),
    errno.EROFS: ("its disk is read-only", "grant write access"),
    errno.EACCES: ("permission denied", "grant write access"),
    errno.EPERM: ("permission denied", "grant write access"),
    errno.ENOENT: ("its folder is gone", "bring it back"),
}


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is there with all of `content`, or else as it was before.

    Raises:
        CannotWrite: names the file, the reason and what to do.
    """
    try:
        with whole(path) as file:
            file.write(content)
    except OSError as error:
        raise cannot_write(path, error) from None


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """Lend a file that takes the name `path` when the block ends well, and is removed if not.

    It is written under a temporary name in the same folder: only within one disk is a rename atomic.

    Raises:
        OSError: it cannot be written.
    """
    # Random, since processes of several machines may share the folder, and process numbers with it.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{TEMPORARY}")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            # A power cut must not leave the name without the content; and some disks, such as those
            # of other machines, say only now that they are full.
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):  # renamed, or on a disk that has become read-only
            temporary.unlink()


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, unless they are there.

    Raises:
        CannotWrite: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from None


def prepare_folder(folder: Path) -> None:
    """Make a folder, make sure that it has room, and remove what killed processes left unfinished.

    Raises:
        CannotWrite: it cannot be made or written to.
    """
    make_folder(folder)
    remove_abandoned(folder)
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(PROBE_BYTES))
            probe.flush()
    except OSError as error:
        raise cannot_write(folder, error) from None


def remove_abandoned(folder: Path) -> None:
    """Remove the unfinished files and folders of processes that were killed while they wrote."""
    with contextlib.suppress(OSError):  # it is not there, or not to be changed
        for path in folder.glob(f".*{TEMPORARY}"):
            with contextlib.suppress(OSError):  # another process was faster
                if time.time() - path.stat().st_mtime < ABANDONED_SECONDS:
                    continue
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()


def cannot_write(path: Path | str, error: OSError, *, advice: str | None = None) -> CannotWrite:
    """Return what to raise when `path` cannot be written.

    Args:
        path: The file or folder to name.
        error: What the system said.
        advice: What to do, if not what the reason suggests.
    """
    return CannotWrite(f"cannot write {path}: {in_words(error, advice=advice)}")


def in_words(error: OSError, *, advice: str | None = None) -> str:
    """Return the reason and what to do about it."""
    reason, usual = _TOLD.get(error.errno or 0, (error.strerror or str(error), "see to it"))
    return f"{reason}; {advice or usual}"
