"""Writing files completely or not at all, with one-sentence errors."""

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from atml.errors import CannotWrite, DataError

TEMPORARY = ".tmp"  # suffix of unfinished files: .NAME.RANDOM.tmp, or .NAME.PROCESS.tmp
_UNFINISHED = re.compile(r"\..+\.([0-9a-f]{8}|[0-9]{1,7})\.tmp")
ABANDONED_SECONDS = 3600.0  # age at which an unfinished file counts as abandoned
PROBE_BYTES = 1 << 20  # more than a trial writes at once

# Reason and advice for common errors; for all others the system's message is used.
_TOLD = {
    errno.ENOSPC: ("its disk is full", "make room there"),
    errno.EDQUOT: ("this user's share of its disk is used up", "make room there"),
    errno.EROFS: ("its disk is read-only", "grant write access"),
    errno.EACCES: ("permission denied", "grant write access"),
    errno.EPERM: ("permission denied", "grant write access"),
    errno.ENOENT: ("its folder is gone", "restore it"),
    errno.EMFILE: ("this process has too many files open", "raise the limit, as with: ulimit -n 4096"),
}
_TOLD_OF_READING = _TOLD | {
    errno.EACCES: ("permission denied", "grant access"),
    errno.EPERM: ("permission denied", "grant access"),
    errno.ENOENT: ("there is no such file or folder", "check the path"),
}


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` to a file, or leave the file as it was.

    Raises:
        CannotWrite: names the file, the reason and what to do.
    """
    try:
        with whole(path) as file:
            file.write(content)
    except OSError as error:
        raise cannot_write(path, error) from None


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8, like `write_whole`; what UTF-8 cannot hold, as of a file's name, becomes `?`."""
    write_whole(path, text.encode(errors="replace"))


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """Yield a file that is renamed to `path` if the block succeeds, and removed otherwise.

    Its temporary name is in the same folder, since a rename is atomic only within one disk.

    Raises:
        OSError: it cannot be written.
    """
    if not path.name:  # "." or "/"
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if path.exists() and not (path.is_file() or path.is_dir()):  # a rename would replace /dev/null
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    temporary = _unfinished(path)
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            # A power failure must not leave the name without the content, and network disks may
            # report only now that they are full.
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):  # renamed, or on a disk that has become read-only
            temporary.unlink()


@contextmanager
def whole_directory(directory: Path) -> Iterator[Path]:
    """Yield a directory that is renamed to `directory` if the block succeeds, and removed otherwise.

    Raises:
        DataError: `directory` exists and is not an empty directory, or cannot be replaced by another.
        CannotWrite: it cannot be written.
    """
    try:
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise DataError(
                f"{directory} exists and is not an empty directory; name another, or remove it first."
            )
        if directory.is_symlink() or os.path.ismount(directory) or _is_working_folder(directory):
            raise DataError(
                f"{directory} is a link, a mounted disk or the working folder, which cannot be replaced; "
                f"name a folder within it, such as {directory / 'segments'}."
            )
        unfinished = _unfinished(Path(os.path.abspath(directory)))  # noqa: PTH100  (resolve() follows links)
        unfinished.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(unfinished.parent)
        unfinished.mkdir()
        try:
            yield unfinished
            unfinished.replace(directory)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        raise cannot_write(directory, error) from error


def _unfinished(path: Path) -> Path:
    # Random: processes on several machines may share both the folder and the process number.
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}{TEMPORARY}")


def _is_working_folder(path: Path) -> bool:
    return path.exists() and path.samefile(".")


def make_folder(folder: Path) -> None:
    """Create a folder and its parents if they do not exist.

    Raises:
        CannotWrite: it cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from None


def prepare_folder(folder: Path) -> None:
    """Create a folder, check that it has room, and remove unfinished files of killed processes.

    Raises:
        CannotWrite: it cannot be created or written to.
    """
    make_folder(folder)
    remove_abandoned(folder)
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(PROBE_BYTES))
            probe.flush()
    except OSError as error:
        raise cannot_write(folder, error) from None


@contextmanager
def temporary_folder(*, programs: bool = False) -> Iterator[Path]:
    """Yield a folder that is removed after the block, in that of TMPDIR or /tmp.

    Args:
        programs: Programs in it will be run.

    Raises:
        CannotWrite: it cannot be written to, or no program in it can be run.
    """
    place = tempfile.gettempdir()
    try:
        with tempfile.TemporaryDirectory(prefix="atml-") as name:
            folder = Path(name)
            if programs and not _runs_programs(folder):
                raise CannotWrite(
                    f"programs in {place} cannot be run (noexec); name another folder in TMPDIR"
                )
            yield folder
    except OSError as error:
        advice = "make room there, or name another folder in TMPDIR"
        raise cannot_write(place, error, advice=advice) from None


def _runs_programs(folder: Path) -> bool:
    probe = folder / "probe"
    probe.touch(mode=0o700)
    allowed = os.access(probe, os.X_OK)  # not on a disk mounted with noexec
    probe.unlink()
    return allowed


def remove_abandoned(folder: Path) -> None:
    """Remove the unfinished files and folders of processes that were killed while they wrote."""
    with contextlib.suppress(OSError):  # it does not exist or is read-only
        for path in filter(lambda path: _UNFINISHED.fullmatch(path.name), folder.iterdir()):
            with contextlib.suppress(OSError):  # another process was faster
                if time.time() - path.stat().st_mtime < ABANDONED_SECONDS:
                    continue
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()


def cannot_write(path: Path | str, error: OSError, *, advice: str | None = None) -> CannotWrite:
    """Return the error to raise when `path` cannot be written.

    Args:
        path: The file or folder to name.
        error: The system's error.
        advice: What to do, if different from the usual advice.
    """
    return CannotWrite(f"cannot write {path}: {in_words(error, advice=advice)}")


def in_words(error: OSError, *, advice: str | None = None) -> str:
    """Return the reason why something cannot be written, and what to do about it."""
    reason, usual = _TOLD.get(error.errno or 0, (error.strerror or str(error), "fix this"))
    return f"{reason}; {advice or usual}"


def why_unreadable(error: OSError) -> str:
    """Return the reason why something cannot be read, and what to do about it."""
    reason, advice = _TOLD_OF_READING.get(error.errno or 0, (error.strerror or str(error), "fix this"))
    return f"{reason}; {advice}"


def read_file(path: Path, *, most_bytes: int = 1_000_000_000) -> bytes:
    """Return the content of a file.

    Raises:
        OSError: it cannot be read, is larger, or is a pipe or device, from which reading might never end.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    if status.st_size > most_bytes:
        raise OSError(errno.EFBIG, f"has {status.st_size:,} bytes, more than {most_bytes:,}", str(path))
    return path.read_bytes()
