"""Files that belong to a trial: kept beside the storage, found again through it."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from optuna import Trial
from optuna.artifacts import FileSystemArtifactStore, upload_artifact

from atml.errors import StorageError
from atml.evaluation import Metrics
from atml.search import records
from atml.service.pictures import pictures

DEFAULT_FOLDER = "artifacts"


def open_artifacts(folder: Path) -> FileSystemArtifactStore:
    """Open the folder in which trials keep their files, creating it if need be.

    Raises:
        StorageError: it cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder}: cannot hold artifacts: {error.strerror}") from None
    return FileSystemArtifactStore(str(folder))


def keep_files(store: FileSystemArtifactStore) -> Callable[[Trial, bytes, Metrics], None]:
    """Return what an objective calls to keep the model and the pictures of a completed trial."""

    def keep(trial: Trial, model: bytes, metrics: Metrics) -> None:
        files = {"model.onnx": model, **pictures(records.curve(trial), metrics)}
        with TemporaryDirectory() as scratch:
            for name, content in files.items():
                path = Path(scratch) / name
                path.write_bytes(content)
                upload_artifact(
                    study_or_trial=trial,
                    file_path=str(path),
                    artifact_store=store,
                    mimetype="image/png" if path.suffix == ".png" else "application/octet-stream",
                )

    return keep
