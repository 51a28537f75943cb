"""What this machine has of what ATML uses: packages, devices, storage, disks and compilers."""

import importlib
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import psutil

from atml.ecg.cache import default_cache_dir
from atml.errors import NoDatabase, StorageError
from atml.export.c import tools
from atml.service.storage import Storage, open_storage
from atml.version import __version__

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
LEAST_DISK_BYTES = 1_000_000_000
LEAST_MEMORY_BYTES = 1_000_000_000  # a worker takes half


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that ATML uses."""

    part: str  # "versions", "devices", "storage", "disk", "optional packages" or "C code"
    name: str
    ok: bool
    found: str  # version, size or place, or what is wrong
    needed_for: str
    advice: str | None = None  # what to do if it is not ok
    required: bool = False  # searching, finalizing and predicting do not work without it


def examine(storage: str) -> list[Finding]:
    """Return what this machine has, and what to install for the rest.

    Args:
        storage: URL of a storage; nothing is created in it.
    """
    return [
        *_versions(),
        *_devices(),
        _storage(storage),
        _disk("working folder", Path.cwd(), "results, artifacts and an SQLite storage"),
        _disk("cache", default_cache_dir(), "parsed segments (ATML_CACHE)"),
        *_optional_packages(),
        *_c_tools(),
    ]


def _versions() -> Iterator[Finding]:
    for name, version in (("Python", platform.python_version()), ("ATML", __version__)):
        yield Finding(
            part="versions", name=name, ok=True, found=version, needed_for="everything", required=True
        )
    for package in REQUIRED:
        found, problem = _version(package), _import_problem(package) if package in IMPORTED else None
        yield Finding(
            part="versions",
            name=package,
            ok=found is not None and problem is None,
            found=problem or found or "not installed",
            needed_for="everything",
            advice=f"pip install --force-reinstall {package}",
            required=True,
        )


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _import_problem(package: str) -> str | None:
    try:
        importlib.import_module(package)
    except (ImportError, OSError) as error:
        return f"cannot be imported: {error}"
    return None


def _devices() -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Finding(part="devices", name="CPU", ok=True, found=f"{cores} cores", needed_for="one worker a core")
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
    try:
        import torch
    except (ImportError, OSError):  # already found above
        return []
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [torch.cuda.get_device_name(index) for index in range(count)]


def _storage(url: str) -> Finding:
    advice = None
    try:
        found, ok = _contents(open_storage(url, must_exist=True)), True
    except NoDatabase as error:
        found, ok = f"{error}", True
    except StorageError as error:
        found, ok, advice = str(error), False, "give another with --storage or ATML_STORAGE"
    return Finding(
        part="storage",
        name="storage",
        ok=ok,
        found=found,
        needed_for="studies and their trials",
        advice=advice,
        required=True,
    )


def _contents(storage: Storage) -> str:
    try:
        count = len(storage.get_all_studies())
        dialect = storage.engine.dialect
        version = ".".join(map(str, dialect.server_version_info or ()))
        server = "SQLite" if dialect.name == "sqlite" else "PostgreSQL"
        return f"{server} {version} with {count} {'study' if count == 1 else 'studies'}"
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _disk(name: str, folder: Path, needed_for: str) -> Finding:
    there = next(one for one in (folder, *folder.absolute().parents) if one.is_dir())
    free = shutil.disk_usage(there).free
    writable = os.access(there, os.W_OK)
    return Finding(
        part="disk",
        name=name,
        ok=writable and free >= LEAST_DISK_BYTES,
        found=f"{folder}: {free / 1e9:.1f} GB are free" if writable else f"{folder}: cannot be written to",
        needed_for=needed_for,
        advice="make room there, or grant write access",
        required=not writable,
    )


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
    for tool in tools.all_tools():
        yield Finding(
            part="C code",
            name=tool.name,
            ok=tool.path is not None,
            found=tool.path or "not installed",
            needed_for=f"atml verify, export-c --check and searches by flash, {tool.where}",
            advice=tools.advice([tool.package]),
        )
