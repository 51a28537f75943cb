"""Writing and loading bundles: the shipped model, its metrics and a manifest."""

import ctypes
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atml.errors import CannotWrite, ModelError
from atml.export import OnnxClassifier
from atml.files import TEMPORARY, in_words, read_file, remove_abandoned
from atml.version import __version__

MANIFEST = "manifest.json"
MODEL = "model.onnx"
OLDER = ".old"
FACTS = ("study", "trial", "architecture", "config", "threshold", "subjects", "test_data")
# What a JSON document leads to that lacks a field, holds another type or is nested too deeply.
DAMAGE = (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError)
# From linux/fcntl.h and linux/fs.h.
AT_FDCWD, RENAME_EXCHANGE = -100, 2


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A bundle on disk: the shipped model and its origin."""

    folder: Path
    manifest: Mapping[str, Any]
    classifier: OnnxClassifier

    @property
    def model(self) -> Path:
        """The ONNX file."""
        return self.folder / MODEL

    @property
    def study(self) -> str:
        """Name of the study it comes from."""
        return str(self.manifest["study"])


def load_bundle(folder: str | os.PathLike[str]) -> Bundle:
    """Load the bundle in `folder`.

    Raises:
        ModelError: it contains no bundle, or the model does not match the manifest.
    """
    place = Path(folder)
    manifest = read_manifest(place)
    try:
        model = read_file(place / MODEL)
    except OSError as error:
        raise ModelError(f"{place} is not a bundle: {error.filename}: {in_words(error)}") from None
    (stored,) = (file["sha256"] for file in manifest["files"] if file["name"] == MODEL)
    if stored != hashlib.sha256(model).hexdigest():
        raise ModelError(
            f"{place / MODEL} is not the model that {MANIFEST} of study {manifest['study']!r} describes"
        )
    return Bundle(folder=place, manifest=manifest, classifier=OnnxClassifier(place / MODEL))


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of the bundle in `folder`; raise ModelError if there is none."""
    path = folder / MANIFEST
    try:
        manifest = json.loads(read_file(path))
        listed = [(file["name"], file["bytes"], file["sha256"]) for file in manifest["files"]]
        missing = [name for name in FACTS if name not in manifest]
    except OSError as error:
        raise ModelError(f"{folder} is not a bundle: {error.filename}: {in_words(error)}") from None
    except DAMAGE as error:
        raise ModelError(f"{path} is not a bundle's manifest: {error!r}") from None
    if missing:
        raise ModelError(f"{path} lacks {', '.join(missing)}; write the bundle again with `atml finalize`")
    if MODEL not in [name for name, *_ in listed]:
        raise ModelError(f"{path} does not list {MODEL}")
    return dict(manifest)


def checksum(manifest: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a manifest without the checksum in it."""
    facts = {name: value for name, value in manifest.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class BundleFile:
    """One file of a bundle; `write` writes it to a path."""

    name: str
    write: Callable[[Path], None]


def write_bundle(folder: Path, files: list[BundleFile], facts: Mapping[str, Any]) -> Path:
    """Write `files` and a manifest with their checksums to `folder`, replacing an older bundle.

    Everything is first written next to `folder` and then swapped with it, so a bundle is never incomplete.
    Other files in `folder` are kept.

    Raises:
        CannotWrite: the bundle cannot be written; an older one remains.
    """
    scratch = folder.with_name(f".{folder.name}.{os.getpid()}{TEMPORARY}")
    try:
        shutil.rmtree(scratch, ignore_errors=True)  # from a killed process with the same number
        remove_abandoned(folder.parent)  # from other killed processes
        _restore(folder)
        scratch.mkdir(parents=True)
        for file in files:
            file.write(scratch / file.name)
        manifest = {"atml": __version__, **facts, "files": [_entry(scratch / file.name) for file in files]}
        manifest["checksum"] = checksum(manifest)
        (scratch / MANIFEST).write_text(to_json(manifest), encoding="utf-8")
        _copy_what_others_added(folder, scratch)
        _replace(folder, scratch)
    except OSError as error:
        raise CannotWrite(f"{folder}: the bundle cannot be written: {in_words(error)}") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder


def to_json(document: Any) -> str:
    """Return `document` as indented JSON; NaN is refused."""
    return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _entry(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"name": path.name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _copy_what_others_added(folder: Path, scratch: Path) -> None:
    """Copy the users' files from an older bundle's folder: all that its manifest does not name."""
    if not folder.is_dir():
        return
    own = {MANIFEST, *_names_in_manifest(folder)}
    for path in folder.iterdir():
        copy = scratch / path.name
        if path.name in own or copy.exists():
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.copytree(path, copy, symlinks=True)
        else:
            shutil.copy2(path, copy, follow_symlinks=False)


def _names_in_manifest(folder: Path) -> list[str]:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return [str(file["name"]) for file in manifest["files"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _replace(folder: Path, scratch: Path) -> None:
    if not folder.exists():
        scratch.rename(folder)
    elif not _exchange(scratch, folder):
        # If the process is killed between these two lines, `_restore` brings the older bundle back.
        folder.rename(scratch.with_suffix(OLDER))
        scratch.rename(folder)
        shutil.rmtree(scratch.with_suffix(OLDER), ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders atomically if the system supports it, as Linux does on most file systems."""
    try:
        swap = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    return bool(swap(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0)


def _restore(folder: Path) -> None:
    """Restore an older bundle if the process replacing it was killed, and remove leftovers."""
    for older in folder.parent.glob(f".{folder.name}.*{OLDER}"):
        if folder.exists():
            shutil.rmtree(older, ignore_errors=True)
        else:
            older.rename(folder)
