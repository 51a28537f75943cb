"""What this machine has of what ATML uses: packages, devices, storage, disks and compilers."""

import importlib
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import psutil

from atml.defaults import ARTIFACTS, granted_cores
from atml.errors import AtmlError, NoDatabase
from atml.version import __version__
from atml.words import counted

if TYPE_CHECKING:
    from atml.service.storage import Storage

REQUIRED = (
    "numpy",
    "scipy",
    "scikit-learn",
    "torch",
    "onnx",
    "onnxruntime",
    "optuna",
    "pydantic",
    "SQLAlchemy",
)
IMPORTED = ("torch", "onnxruntime")  # they have shared libraries, of which one may be missing
# Package, what it is for, and ATML's extra that brings it.
OPTIONAL = (
    ("wfdb", "WFDB records", "formats"),
    ("pyedflib", "EDF files", "formats"),
    ("pyarrow", "Parquet files", "formats"),
    ("psycopg", "PostgreSQL as storage", "postgres"),
    ("boto3", "artifacts in S3", "s3"),
    ("mlflow-skinny", "atml export-mlflow", "mlflow"),
)
Part = Literal["versions", "devices", "storage", "disk", "optional packages", "C code"]
LEAST_DISK_BYTES = 1_000_000_000
LEAST_MEMORY_BYTES = 1_000_000_000  # a worker takes half


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that ATML uses."""

    part: Part  #: What it belongs to.
    name: str  #: Name of the package, device, place or program.
    ok: bool  #: Whether it is there and can be used.
    found: str  #: Its version, size or place, or what is wrong.
    needed_for: str  #: What uses it.
    advice: str | None = None  #: What to do if it is not ok.
    required: bool = False  #: Whether ATML cannot search without it.


def examine(storage: str, artifacts: str = ARTIFACTS) -> list[Finding]:
    """Return what this machine has, and what to install for the rest; nothing is created."""
    return [
        *_versions(),
        *_devices(),
        *_unless_broken("storage", lambda: _storage(storage)),
        *_unless_broken("storage", lambda: _artifacts(artifacts), name="artifacts"),
        _working_folder(storage, artifacts),
        *_unless_broken("disk", _cache),
        *_optional_packages(),
        *_unless_broken("C code", _c_tools),
    ]


def _unless_broken(
    part: Part, find: Callable[[], Iterator[Finding]], *, name: str | None = None
) -> list[Finding]:
    """Return a part's findings, or that it cannot be examined without a package that is missing or broken."""
    try:
        return list(find())
    except (ImportError, OSError) as error:
        return [
            Finding(
                part=part,
                name=name or part,
                ok=False,
                found=f"not examined: {error}",
                needed_for="everything",
                advice="repair that package first",
                required=True,
            )
        ]


def _versions() -> Iterator[Finding]:
    essential = partial(Finding, part="versions", needed_for="everything", required=True)
    yield essential(name="Python", ok=True, found=platform.python_version())
    yield essential(name="ATML", ok=True, found=__version__)
    for package in REQUIRED:
        found, problem = _version(package), _import_problem(package) if package in IMPORTED else None
        yield essential(
            name=package,
            ok=found is not None and problem is None,
            found=problem or found or "not installed",
            advice=f"pip install --force-reinstall {package}",
        )


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _import_problem(package: str) -> str | None:
    try:
        importlib.import_module(package)
    except Exception as error:  # noqa: BLE001  (a broken package may raise anything)
        return f"cannot be imported: {error}"
    return None


def _devices() -> Iterator[Finding]:
    cores = counted(granted_cores(), "core")
    yield Finding(part="devices", name="CPU", ok=True, found=cores, needed_for="one worker a core")
    memory = psutil.virtual_memory()
    yield Finding(
        part="devices",
        name="memory",
        ok=memory.available >= LEAST_MEMORY_BYTES,
        found=f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB are free",
        needed_for="500 MB a worker",
        advice="end other programs, or start fewer workers (--workers)",
    )
    gpus = _gpus()
    yield Finding(
        part="devices",
        name="CUDA",
        ok=bool(gpus),
        found=", ".join(gpus) or "no GPU that PyTorch can use",
        needed_for="training on a GPU; ATML works without",
        advice="for an NVIDIA GPU: its driver, and a PyTorch with CUDA (pytorch.org)",
    )


def _gpus() -> list[str]:
    if _import_problem("torch") is not None:  # already found above
        return []
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [torch.cuda.get_device_name(index) for index in range(count)]


def _storage(url: str) -> Iterator[Finding]:
    from atml.service.storage import open_storage
    from atml.service.storage.sqlite import is_read_only

    essential = partial(
        Finding, part="storage", name="storage", needed_for="studies and their trials", required=True
    )
    advice = "give another with --storage or ATML_STORAGE"
    try:
        opened = open_storage(url, must_exist=True)
        if is_read_only(opened.engine):
            yield essential(ok=False, found=f"{_contents(opened)}, which can only be read", advice=advice)
        else:
            yield essential(ok=True, found=_contents(opened))
    except NoDatabase as error:
        yield essential(ok=True, found=str(error))
    except AtmlError as error:
        yield essential(ok=False, found=str(error), advice=advice)


def _contents(storage: "Storage") -> str:
    try:
        count = len(storage.get_all_studies())
        dialect = storage.engine.dialect
        version = ".".join(map(str, dialect.server_version_info or ()))
        server = "SQLite" if dialect.name == "sqlite" else "PostgreSQL"
        return f"{server} {version} with {count} {'study' if count == 1 else 'studies'}"
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _artifacts(place: str) -> Iterator[Finding]:
    from atml.service.artifacts import open_artifacts
    from atml.service.s3 import split_s3

    needed_for = "models, pictures and checkpoints of trials"
    essential = partial(Finding, part="storage", name="artifacts", needed_for=needed_for, required=True)
    try:
        open_artifacts(place, only_reading=True)
    except AtmlError as error:
        advice = "give another with --artifacts or ATML_ARTIFACTS"
        yield essential(ok=False, found=str(error), advice=advice)
        return
    if split_s3(place) is None:
        yield _disk("artifacts", Path(place), needed_for, part="storage")
    else:
        yield essential(ok=True, found=f"{place} can be opened")


def _working_folder(storage: str, artifacts: str) -> Finding:
    """Return whether the working folder can be written to, as it must if a search writes there."""
    places = [Path(artifacts)]
    if storage.startswith("sqlite"):
        places.append(Path(storage.partition(":///")[2]).parent)
    return _disk(
        "working folder",
        Path.cwd(),
        "results, artifacts and an SQLite storage",
        is_needed=any(_nearest(place).resolve() == Path.cwd() for place in places),
    )


def _cache() -> Iterator[Finding]:
    from atml.ecg.cache import default_cache_dir

    yield _disk("cache", default_cache_dir(), "parsed segments (ATML_CACHE)")


def _disk(
    name: str, folder: Path, needed_for: str, *, part: Part = "disk", is_needed: bool = True
) -> Finding:
    there = _nearest(folder)
    free = shutil.disk_usage(there).free
    is_file = os.path.isfile(folder)  # noqa: PTH113  (as in `_nearest`)
    writable = os.access(there, os.W_OK) and not is_file
    return Finding(
        part=part,
        name=name,
        ok=writable and free >= LEAST_DISK_BYTES,
        found=f"{folder}: {free / 1e9:.1f} GB are free" if writable else f"{folder}: cannot be written to",
        needed_for=needed_for,
        advice="make room there, or grant write access",
        required=is_needed and not writable,
    )


def _nearest(folder: Path) -> Path:
    """Return the folder itself or, before it is made, the nearest one above it."""
    # Path.is_dir() raises PermissionError below a folder that may not be entered.
    return next(one for one in (folder, *folder.absolute().parents) if os.path.isdir(one))  # noqa: PTH112


def _optional_packages() -> Iterator[Finding]:
    for package, needed_for, extra in OPTIONAL:
        found = _version(package)
        yield Finding(
            part="optional packages",
            name=package,
            ok=found is not None,
            found=found or "not installed",
            needed_for=needed_for,
            advice=f"pip install 'atml[{extra}]'",
        )


def _c_tools() -> Iterator[Finding]:
    from atml.export.c import tools

    for tool in tools.all_tools():
        yield Finding(
            part="C code",
            name=tool.name,
            ok=tool.path is not None,
            found=tool.path or "not installed",
            needed_for=f"atml verify, export-c --check and searches by flash, {tool.where}",
            advice=tools.advice([tool.package]),
        )
