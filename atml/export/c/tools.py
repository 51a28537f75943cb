"""The programs that build and run C code here and on an emulated Cortex-M4F."""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from atml.errors import ModelError

TIMEOUT_SECONDS = 300.0
# Debian's package of each program.
_HOST = {"cc": "gcc", "make": "make"}
_TARGET = {
    "make": "make",
    "arm-none-eabi-gcc": "gcc-arm-none-eabi",
    "arm-none-eabi-size": "binutils-arm-none-eabi",
    "qemu-system-arm": "qemu-system-arm",
}
_LIBRARY = "picolibc-arm-none-eabi"
_HERE, _EMULATED = "on this machine", "on an emulated Cortex-M4F"


def missing_for_host() -> list[str]:
    """Return the Debian packages that are missing to build and run the code here."""
    return _missing(_HOST)


def missing_for_target() -> list[str]:
    """Return the Debian packages that are missing to build and run the code on an emulated Cortex-M4F."""
    missing = _missing(_TARGET)
    return missing if _picolibc() else [*missing, _LIBRARY]


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A program or library that builds or runs C code."""

    name: str
    path: str | None  # None if it is not installed
    package: str  # Debian's
    where: str


def all_tools() -> list[Tool]:
    """Return every tool, installed or not."""
    found = [
        Tool(name=name, path=shutil.which(name), package=package, where=_HERE if name in _HOST else _EMULATED)
        for name, package in (_HOST | _TARGET).items()
    ]
    return [*found, Tool(name="picolibc", path=_picolibc(), package=_LIBRARY, where=_EMULATED)]


def missing_for_flash() -> list[str]:
    """Return the Debian packages that are missing to compile the code for a Cortex-M4F."""
    return [package for package in missing_for_target() if package != _TARGET["qemu-system-arm"]]


def flash_bytes(folder: Path) -> int:
    """Compile the C files in `folder` for a Cortex-M4F; return the bytes of code and constants.

    Raises:
        ModelError: they cannot be compiled.
    """
    return int(run(["make", "-s", "arm"], folder).splitlines()[-1].split()[0])


def advice(packages: Sequence[str]) -> str:
    """Return how to install packages."""
    return f"apt-get install {' '.join(packages)}"


def run(command: Sequence[str], folder: Path) -> str:
    """Run a program in a folder and return its output.

    Raises:
        ModelError: it failed or did not end; the text has the end of its output.
    """
    try:
        done = subprocess.run(  # noqa: S603 - names of programs and files that ATML wrote
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ModelError(f"{' '.join(command)} has not ended after {TIMEOUT_SECONDS:g} s.") from None
    except OSError as error:
        raise ModelError(f"{command[0]} cannot be run: {error.strerror}.") from None
    if done.returncode != 0:
        raise ModelError(f"{' '.join(command)} failed: {done.stdout[-2000:].strip()}")
    return done.stdout


def _missing(packages: dict[str, str]) -> list[str]:
    return [package for program, package in packages.items() if shutil.which(program) is None]


def _picolibc() -> str | None:
    """Return the C library that the cross compiler finds; else the compiler answers with the bare name."""
    compiler = shutil.which("arm-none-eabi-gcc")
    if compiler is None:
        return None
    path = run([compiler, "--print-file-name=picolibc.specs"], Path.cwd()).strip()
    return path if Path(path).is_absolute() else None
