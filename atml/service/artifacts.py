"""Files that belong to a trial: in a folder or an S3 bucket, found again through the storage."""

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from optuna import Trial
from optuna.artifacts import FileSystemArtifactStore, upload_artifact
from optuna.artifacts._protocol import ArtifactStore

from atml.ecg.cache import default_cache_dir
from atml.errors import StorageError
from atml.evaluation import Metrics
from atml.search import records
from atml.service.pictures import pictures
from atml.service.s3 import is_s3, open_s3, split_s3

DEFAULT_FOLDER = "artifacts"


def open_artifacts(place: str | Path) -> ArtifactStore:
    """Open the place in which trials keep their files; a folder is created if need be.

    Args:
        place: A folder, or `s3://BUCKET` or `s3://BUCKET/PREFIX`.

    Raises:
        StorageError: it cannot hold artifacts; says why.
    """
    if is_s3(place):
        return open_s3(str(place))
    folder = Path(place)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder}: cannot hold artifacts: {error.strerror}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StorageError(f"{folder}: cannot hold artifacts: it is read-only")
    return FileSystemArtifactStore(str(folder))


def local_folder(place: str | Path) -> Path:
    """Return the folder for this machine's own files: workers' logs, and fits to be resumed.

    It is the artifacts' folder itself; artifacts in S3 have one in the cache (`ATML_CACHE`).
    """
    if not is_s3(place):
        return Path(place)
    bucket, prefix = split_s3(str(place))
    return default_cache_dir() / "s3" / bucket / prefix


def keep_files(store: ArtifactStore) -> Callable[[Trial, bytes, Metrics], None]:
    """Return what an objective calls to keep the model and the pictures of a completed trial.

    It raises StorageError if they cannot be kept.
    """

    def keep(trial: Trial, model: bytes, metrics: Metrics) -> None:
        files = {"model.onnx": model, **pictures(records.curve(trial), metrics)}
        with TemporaryDirectory() as scratch:
            for name, content in files.items():
                path = Path(scratch) / name
                path.write_bytes(content)
                _upload(store, trial, path)

    return keep


def _upload(store: ArtifactStore, trial: Trial, path: Path) -> None:
    try:
        upload_artifact(
            study_or_trial=trial,
            file_path=str(path),
            artifact_store=store,
            mimetype="image/png" if path.suffix == ".png" else "application/octet-stream",
        )
    except OSError as error:
        raise StorageError(
            f"cannot keep {path.name} of trial {trial.number}: {error}; make room or grant write access"
        ) from None
