"""Building, running and measuring generated C code: on this machine and on an emulated Cortex-M4F."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from atml.errors import ModelError
from atml.export.c import tools
from atml.export.c.sources import CSources, write_c
from atml.files import temporary_folder

_SELFTEST = re.compile(r"segments (\d+) difference (\S+) largest (\S+) ok")
_MEASURED = re.compile(r"stack (\d+) instructions (\d+) overflowed ([01])")


@dataclass(frozen=True, kw_only=True)
class TargetFigures:
    """What was measured on an emulated Cortex-M4F, compiled with -Os."""

    difference: float  #: Largest difference of a logit from ONNX Runtime's.
    flash_bytes: int  #: Code and constants, without functions of the C library (expf, tanhf, sqrtf, memcpy).
    stack_bytes: int  #: Stack of one call, the C library's functions included.
    ram_bytes: int  #: Memory and stack; the segment is part of the memory.
    instructions: int  #: Instructions executed for one segment, to the nearest 40; not a time.


@dataclass(frozen=True, kw_only=True)
class CCheck:
    """The result of `check_c`; None where tools are missing."""

    onnx_bytes: int  #: Size of the model file in bytes.
    memory_bytes: int  #: Memory that the caller provides, the segment included.
    host_difference: float | None = None  #: Largest difference of a logit here; None without a compiler.
    target: TargetFigures | None = None  #: Figures of a microcontroller; None without the tools for it.
    missing_packages: tuple[str, ...] = ()  #: Debian's packages that would have allowed more checks.


def check_c(sources: CSources, progress: Callable[[str], None] = lambda text: None) -> CCheck:
    """Build C code, run its self-test and measure it, as far as the tools for it are installed.

    On this machine all warnings are errors and the sanitizers for addresses and undefined behaviour are on.

    Raises:
        ModelError: it cannot be built, or its logits differ from ONNX Runtime's.
        CannotWrite: the folder of temporary files is full, or programs in it cannot be run.
    """
    missing_host, missing_target = tools.missing_for_host(), tools.missing_for_target()
    host = target = None
    if not missing_host:
        progress("self-test on this machine, with sanitizers")
        host = check_on_host(sources)
    if not missing_target:
        progress("self-test on an emulated Cortex-M4F")
        target = check_on_target(sources)
    return CCheck(
        onnx_bytes=sources.onnx_bytes,
        memory_bytes=sources.memory_bytes,
        host_difference=host,
        target=target,
        missing_packages=tuple(dict.fromkeys([*missing_host, *missing_target])),
    )


def check_on_host(sources: CSources) -> float:
    """Return the largest difference of a logit from ONNX Runtime's; raises as `check_c` does."""
    with temporary_folder(programs=True) as folder:
        write_c(sources, folder)
        return _difference(tools.run(["make", "-s", "check"], folder))


def check_on_target(sources: CSources) -> TargetFigures:
    """Return what is measured on an emulated Cortex-M4F; raises as `check_c` does."""
    with temporary_folder() as folder:
        write_c(sources, folder)
        difference = _difference(tools.run(["make", "-s", "qemu"], folder))
        stack_bytes, instructions = measured_on_target(sources, folder)
        return TargetFigures(
            difference=difference,
            flash_bytes=tools.flash_bytes(folder),
            stack_bytes=stack_bytes,
            ram_bytes=sources.memory_bytes + stack_bytes,
            instructions=instructions,
        )


def measured_on_target(sources: CSources, folder: Path) -> tuple[int, int]:
    """Return the bytes of stack and the instructions of one call of `ecm` on an emulated Cortex-M4F.

    `folder` has the C files.

    Raises:
        ModelError: it cannot be built or run.
    """
    # The self-test's rule builds this program, too.
    (folder / "ecm_selftest.c").write_text(sources.measurement, encoding="utf-8")
    output = tools.run(["make", "-s", "qemu"], folder)
    found = _MEASURED.search(output)
    if found is None or found[3] == "1":
        raise ModelError(f"The network could not be measured on the emulated Cortex-M4F: {output[-500:]}")
    return int(found[1]), int(found[2])


def _difference(output: str) -> float:
    found = _SELFTEST.search(output)
    if found is None:
        raise ModelError(f"The C code's self-test did not report success: {output[-500:]}")
    return float(found[2])
