"""Epoch checkpoints, from which any process can continue a trial whose worker was killed."""

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

import torch

from atml.files import make_folder, write_whole
from atml.training import TrainingState
from atml.tuning.records import CurvePoint
from atml.version import __version__

# Neither reliably reads the state of another version of itself.
VERSIONS = [__version__, str(torch.__version__)]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A trial between two epochs of a fold."""

    of: str  # what is trained: `Trainer.key`
    fold: int
    state: TrainingState
    curve: list[CurvePoint]


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one study, one file per trial, named after the trial's first attempt.

    Args:
        folder: Where the files are. Workers that share it can continue each other's trials; without a
            common folder a retried trial starts from the beginning.
    """

    folder: Path

    def save(self, number: int, checkpoint: Checkpoint) -> None:
        """Save the checkpoint of trial `number`, replacing an earlier one.

        Raises:
            CannotWrite: it cannot be saved; the earlier one remains.
        """
        make_folder(self.folder)
        content = {
            "versions": VERSIONS,
            "of": checkpoint.of,
            "fold": checkpoint.fold,
            "epochs": checkpoint.state.epochs,
            "state": dict(checkpoint.state.content),
            "curve": [point.to_list() for point in checkpoint.curve],
        }
        buffer = io.BytesIO()
        torch.save(content, buffer)
        write_whole(self._path(number), buffer.getvalue())

    def load(self, number: int, of: str) -> Checkpoint | None:
        """Return the checkpoint of trial `number`; None if missing, damaged or of other versions.

        One of another training is not returned either: the folder may hold the files of a deleted study of
        the same name, whose networks were trained on other folds.
        """
        try:
            content = torch.load(self._path(number), map_location="cpu", weights_only=True)
            if content["versions"] != VERSIONS or content["of"] != of:
                return None
            curve = [CurvePoint.from_list(point) for point in content["curve"]]
            state = TrainingState(epochs=content["epochs"], content=dict(content["state"]))
            return Checkpoint(of=of, fold=content["fold"], state=state, curve=curve)
        except Exception:  # noqa: BLE001  (a damaged file makes torch raise anything)
            return None  # the trial starts from the beginning

    def drop(self, number: int) -> None:
        """Delete the checkpoint of trial `number`, which has ended."""
        # On a disk that has become read-only it stays, which is harmless.
        with contextlib.suppress(OSError):
            self._path(number).unlink(missing_ok=True)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number}.pt"
