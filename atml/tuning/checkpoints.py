"""Epoch checkpoints: a trial whose worker was killed goes on where it was, in whichever process."""

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import torch

from atml.files import make_folder, write_whole
from atml.training import TrainingState
from atml.tuning.records import CurvePoint
from atml.version import __version__

# Neither reads the state of another version of itself reliably.
VERSIONS = [__version__, str(torch.__version__)]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A trial between two epochs of a fold."""

    fold: int
    state: TrainingState
    curve: list[CurvePoint]


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one study, a file a trial, named after the trial that was first to try.

    Args:
        folder: Where the files are; workers that share it take over each other's trials midway, and
            without a common folder a trial begins anew.
    """

    folder: Path

    def save(self, number: int, checkpoint: Checkpoint) -> None:
        """Keep the checkpoint of trial `number`, in place of an earlier one.

        Raises:
            CannotWrite: it cannot be kept; the earlier one still is.
        """
        make_folder(self.folder)
        content = {
            "versions": VERSIONS,
            "fold": checkpoint.fold,
            "state": checkpoint.state.to_bytes(),
            "curve": [point.to_list() for point in checkpoint.curve],
        }
        buffer = io.BytesIO()
        torch.save(content, buffer)
        write_whole(self._path(number), buffer.getvalue())

    def load(self, number: int) -> Checkpoint | None:
        """Return what these versions kept of trial `number`; None if there is nothing, or it is damaged."""
        try:
            content = torch.load(self._path(number), map_location="cpu", weights_only=True)
            if content["versions"] != VERSIONS:
                return None
            curve = [CurvePoint.from_list(point) for point in content["curve"]]
            state = TrainingState.from_bytes(content["state"])
            return Checkpoint(fold=content["fold"], state=state, curve=curve)
        except (OSError, RuntimeError, ValueError, TypeError, KeyError, EOFError, UnpicklingError):
            return None  # the trial begins anew

    def drop(self, number: int) -> None:
        """Forget trial `number`: it has ended."""
        # A disk that has become read-only keeps it; nobody asks for it any more.
        with contextlib.suppress(OSError):
            self._path(number).unlink(missing_ok=True)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number}.pt"
