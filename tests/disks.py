"""A small disk of one's own, to be filled and made read-only."""

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

MIB = 1 << 20


class Disk:
    """A file system in memory, mounted at `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    @contextmanager
    def full(self) -> Iterator[None]:
        """Leave no room, not even what is freed meanwhile; remove the ballast in the end."""
        self._fill()
        enough = threading.Event()
        filling = threading.Thread(target=self._fill_until, args=(enough,))
        filling.start()
        try:
            yield
        finally:
            enough.set()
            filling.join()
            self._ballast.unlink()

    def _fill_until(self, enough: threading.Event) -> None:
        while not enough.wait(0.01):
            self._fill()

    def _fill(self) -> None:
        with self._ballast.open("ab", buffering=0) as ballast:
            for size in (MIB, 4096):
                with suppress(OSError):
                    while ballast.write(bytes(size)) == size:
                        pass

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Let nothing be written, as a kernel does that has met an error on a disk."""
        while not _mount("-o", "remount,ro", str(self.folder)):  # busy: a file is being written
            time.sleep(0.002)
        try:
            yield
        finally:
            assert _mount("-o", "remount,rw", str(self.folder))

    @contextmanager
    def without_programs(self) -> Iterator[None]:
        """Let no program on this disk be run."""
        assert _mount("-o", "remount,noexec", str(self.folder))
        try:
            yield
        finally:
            assert _mount("-o", "remount,exec", str(self.folder))


@contextmanager
def small_disk(folder: Path, *, mebibytes: int) -> Iterator[Disk]:
    """Mount a new disk at `folder`; skip the test where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0:
        pytest.skip("only root may mount a disk")
    if not _mount("-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(folder)):
        pytest.skip("this machine lets nobody mount a disk")
    try:
        yield Disk(folder)
    finally:
        # Lazily: a process that the test has just ended may have a file open.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _mount(*arguments: str) -> bool:
    return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0
