"""Writing and loading bundles: the shipped model, its metrics and a manifest."""

import ctypes
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from atml.ecg.segment import AFIB_RHYTHM, subject_order
from atml.errors import CannotWrite, ModelError
from atml.export import OnnxClassifier
from atml.files import TEMPORARY, in_words, read_file, remove_abandoned, why_unreadable
from atml.version import __version__

MANIFEST = "manifest.json"
MODEL = "model.onnx"
OLDER = ".old"
BETA = 2.0  # of a model that is not in a bundle
ANY_CONFIDENCE = 0.5  # that of a score at the threshold
# What makes a model the same when it is shipped again.
IDENTITY = ("study", "trial", "architecture", "config", "learning_rate", "training_data")
KEPT = ".kept"  # ending of a user's file that a new bundle would have replaced
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
    file: str  # that the classifier is of

    @property
    def model(self) -> Path:
        """The ONNX file."""
        return self.folder / self.file

    @property
    def study(self) -> str:
        """Name of the study it comes from."""
        return str(self.manifest["study"])

    @property
    def positive(self) -> tuple[str, ...]:
        """Annotated rhythms that were labelled AFIB in training."""
        return tuple(self.manifest.get("positive", (AFIB_RHYTHM,)))

    @property
    def beta(self) -> float:
        """Beta of the study's F-beta."""
        return _beta(self.manifest)

    @property
    def least_confidence(self) -> float | None:
        """Answers with a lower confidence are withheld; None if every segment gets an answer."""
        least: float | None = self.manifest.get("least_confidence")
        return least

    def trained_on(self, subjects: Iterable[str]) -> list[str]:
        """Return which of `subjects` have the names of training subjects; they may be other people.

        Raises:
            ModelError: the manifest does not list the training subjects.
        """
        try:
            known = set(self.manifest["subjects"]["train"])
        except DAMAGE as error:
            raise ModelError(f"{self.folder / MANIFEST} is not a bundle's manifest: {error!r}") from None
        return sorted((one for one in set(subjects) if hashed(one) in known), key=subject_order)

    def content(self, name: str) -> bytes:
        """Return a file of the bundle.

        Raises:
            ModelError: it cannot be read, or is not the one that the manifest describes.
        """
        return _content(self.folder, self.manifest, name)


def load_bundle(folder: str | os.PathLike[str]) -> Bundle:
    """Load the bundle in `folder`.

    Raises:
        ModelError: it contains no bundle, or the model does not match the manifest.
    """
    return _load(Path(folder), MODEL)


def bundle_of(place: Path) -> Bundle | None:
    """Return the bundle in a folder, or the one that an ONNX file is part of; None if it is part of none.

    Raises:
        ModelError: the folder contains no bundle, or the model does not match the manifest.
    """
    if place.is_dir():
        return load_bundle(place)
    manifest = _manifest(place.parent) or {"files": []}
    listed = [one["name"] for one in manifest["files"]]
    return _load(place.parent, place.name) if place.name in listed else None


def _load(folder: Path, file: str) -> Bundle:
    manifest = read_manifest(folder)
    _content(folder, manifest, file)  # it is the one that the manifest describes
    return Bundle(folder=folder, manifest=manifest, classifier=OnnxClassifier(folder / file), file=file)


def _content(folder: Path, manifest: Mapping[str, Any], name: str) -> bytes:
    try:
        content = read_file(folder / name)
    except OSError as error:
        raise ModelError(f"{folder} is not a bundle: {error.filename}: {why_unreadable(error)}") from None
    stored = next(file["sha256"] for file in manifest["files"] if file["name"] == name)
    if stored != hashlib.sha256(content).hexdigest():
        raise ModelError(
            f"{folder / name} is not the model that {MANIFEST} of study {manifest['study']!r} describes"
        )
    return content


def load_model(place: str | os.PathLike[str]) -> tuple[OnnxClassifier, float]:
    """Return the model of a bundle's folder or of an ONNX file, and the least confidence of its answers.

    That is .5, which every answer has, unless the bundle, also that which the file is part of, was made to
    withhold some.

    Raises:
        ModelError: there is no such model, or it is not the one that its bundle describes.
    """
    bundle = bundle_of(Path(place))
    if bundle is None:
        return OnnxClassifier(place), ANY_CONFIDENCE
    return bundle.classifier, bundle.least_confidence or ANY_CONFIDENCE


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of the bundle in `folder`; raise ModelError if there is none."""
    path = folder / MANIFEST
    try:
        manifest = json.loads(read_file(path))
        listed = [(file["name"], file["bytes"], file["sha256"]) for file in manifest["files"]]
        missing = [name for name in FACTS if name not in manifest]
        _ = "+".join(manifest.get("positive", ()))  # fails unless these are names
        _ = _beta(manifest)
        least = manifest.get("least_confidence")
        _ = least is None or ANY_CONFIDENCE <= least <= 1  # fails unless it is a number
    except OSError as error:
        raise ModelError(f"{folder} is not a bundle: {error.filename}: {why_unreadable(error)}") from None
    except DAMAGE as error:
        raise ModelError(f"{path} is not a bundle's manifest: {error!r}") from None
    if missing:
        raise ModelError(f"{path} lacks {', '.join(missing)}; write the bundle again with `atml finalize`")
    if MODEL not in [name for name, *_ in listed]:
        raise ModelError(f"{path} does not list {MODEL}")
    return dict(manifest)


def _beta(manifest: Mapping[str, Any]) -> float:
    return float(manifest.get("spec", {}).get("beta", BETA))


def hashed(subject: str) -> str:
    """Return how a manifest lists a subject, so that subjects can be compared but not named."""
    return hashlib.sha256(subject.encode()).hexdigest()


def checksum(manifest: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a manifest without the checksum in it."""
    facts = {name: value for name, value in manifest.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def write_bundle(folder: Path, files: Mapping[str, bytes], facts: Mapping[str, Any]) -> Path:
    """Write `files` and a manifest with their checksums to `folder`, replacing an older bundle of this model.

    Everything is first written next to the folder and then swapped with it, so a bundle is never incomplete.
    If the folder holds another model, such as one of an earlier study of the same name, the bundle goes into
    `folder`-2, -3 …. Other files in the folder are kept, and those that the user has edited are kept under
    another name.

    Returns:
        The bundle's folder.

    Raises:
        CannotWrite: the bundle cannot be written; an older one remains.
    """
    # A link to a folder stays one.
    folder = folder_for(folder.resolve() if folder.is_symlink() else folder, facts)
    scratch = folder.with_name(f".{folder.name}.{os.getpid()}{TEMPORARY}")
    try:
        shutil.rmtree(scratch, ignore_errors=True)  # from a killed process with the same number
        remove_abandoned(folder.parent)  # from other killed processes
        scratch.mkdir(parents=True)
        for name, content in files.items():
            (scratch / name).write_bytes(content)
        manifest = {"atml": __version__, **facts, "files": [_entry(scratch / name) for name in files]}
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


def folder_for(folder: Path, facts: Mapping[str, Any]) -> Path:
    """Return the first of `folder`, `folder`-2 … that does not hold another model."""
    wanted = json.loads(json.dumps(dict(facts)))
    for number in count(1):
        place = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        _restore(place)
        found = _manifest(place)
        if found is None or all(found.get(name) == wanted.get(name) for name in IDENTITY):
            return place
    raise AssertionError  # `count` does not end


def _copy_what_others_added(folder: Path, scratch: Path) -> None:
    """Copy the users' files from an older bundle's folder: all that ATML did not write, or not like this."""
    if not folder.is_dir():
        return
    manifest = _manifest(folder) or {"files": []}
    written = {file["name"]: file["sha256"] for file in manifest["files"]}
    for path in folder.iterdir():
        if path.name == MANIFEST and manifest.get("checksum") == checksum(manifest):
            continue
        if path.name in written and path.is_file() and _entry(path)["sha256"] == written[path.name]:
            continue
        copy = _free(scratch / path.name)
        if path.is_dir() and not path.is_symlink():
            shutil.copytree(path, copy, symlinks=True)
        else:
            shutil.copy2(path, copy, follow_symlinks=False)


def _free(path: Path) -> Path:
    """Return `path`, or a name that is free if a file of the new bundle has it."""
    names = (path.with_name(f"{path.name}{KEPT}{number or ''}") for number in count())
    return path if not os.path.lexists(path) else next(one for one in names if not os.path.lexists(one))


def _manifest(folder: Path) -> dict[str, Any] | None:
    """Return the manifest in a folder, None if there is none that can be read."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        _ = [(file["name"], file["sha256"]) for file in manifest["files"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return manifest


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
