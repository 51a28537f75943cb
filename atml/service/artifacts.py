"""Files of a trial, kept in a folder or an S3 bucket and referenced in the storage."""

import contextlib
import io
import json
import uuid
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

from optuna import Trial
from optuna.artifacts import ArtifactMeta, FileSystemArtifactStore
from optuna.artifacts._protocol import ArtifactStore  # has no public name
from optuna.artifacts._upload import ARTIFACTS_ATTR_PREFIX  # the prefix that the dashboard uses

from atml.dashboard.picture import picture
from atml.ecg.cache import default_cache_dir
from atml.errors import AtmlError
from atml.evaluation import Metrics
from atml.files import prepare_folder, write_whole
from atml.service.s3 import open_s3, require_boto3, split_s3
from atml.tuning import records


def open_artifacts(place: str | Path, *, only_reading: bool = False) -> ArtifactStore:
    """Open the folder or `s3://BUCKET/PREFIX` where trials keep their files; create a folder if necessary.

    With `only_reading` nothing will be written: a folder may be full, read-only or missing.

    Raises:
        CannotWrite: it cannot be written to at the moment; gives the reason.
        StorageError: it cannot hold artifacts; gives the reason.
    """
    bucket = split_s3(place)
    if bucket is not None:
        return open_s3(*bucket)
    if not only_reading:
        prepare_folder(Path(place))
    return FolderStore(str(place))


def check_place(place: str | Path) -> None:
    """Refuse a place that can never hold artifacts, without a look at it.

    Raises:
        StorageError: gives the reason.
    """
    if split_s3(place) is not None:
        require_boto3()


class FolderStore(FileSystemArtifactStore):
    """Optuna's store for a folder, with files written completely or not at all."""

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """Store the content of `content_body`.

        Raises:
            CannotWrite: names the file, the reason and what to do.
        """
        write_whole(self._get_filepath(artifact_id), content_body.read())


def local_folder(place: str | Path) -> Path:
    """Return the folder for this machine's own files: workers' logs, and fits to resume.

    It is the artifacts' folder itself or, for artifacts in S3, a folder in the cache (`ATML_CACHE`).
    """
    bucket = split_s3(place)
    return Path(place) if bucket is None else default_cache_dir().joinpath("s3", *bucket)


def keep_files(store: ArtifactStore) -> Callable[[Trial, bytes, Metrics], None]:
    """Return the function with which an objective stores a completed trial's model and picture.

    It raises CannotWrite if they cannot all be stored; then none of them is.
    """

    def keep(trial: Trial, model: bytes, metrics: Metrics) -> None:
        files = {"model.onnx": model, "trial.png": picture(records.curve(trial), metrics)}
        kept: list[ArtifactMeta] = []
        try:
            for name, content in files.items():
                kept.append(_write(store, name, content))
        except BaseException:
            for meta in kept:
                with contextlib.suppress(OSError, AtmlError):
                    store.remove(meta.artifact_id)
            raise
        for meta in kept:
            key = ARTIFACTS_ATTR_PREFIX + meta.artifact_id
            trial.storage.set_trial_system_attr(trial._trial_id, key, json.dumps(asdict(meta)))
        records.write_columns(trial)

    return keep


# Optuna's `upload_artifact` records a file before writing it, and keeps the record on failure.
def _write(store: ArtifactStore, name: str, content: bytes) -> ArtifactMeta:
    meta = ArtifactMeta(
        artifact_id=str(uuid.uuid4()),
        filename=name,
        mimetype="image/png" if name.endswith(".png") else "application/octet-stream",
        encoding=None,
    )
    store.write(meta.artifact_id, io.BytesIO(content))
    return meta
