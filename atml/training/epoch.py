"""The result of a training epoch, and the state from which training continues."""

import io
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from atml.training.settings import AugmentationSettings, TrainingSettings


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """A training loop between two epochs, from which `train(resume=…)` continues bit for bit."""

    epochs: int  # finished
    settings: TrainingSettings
    content: Mapping[str, Any]  # tensors and plain values; the loop knows which

    def to_bytes(self) -> bytes:
        """Return the state as the bytes of a file."""
        buffer = io.BytesIO()
        torch.save({**asdict(self), "content": dict(self.content)}, buffer)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Return the state that `to_bytes` wrote; the bytes are never executed as code."""
        fields = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        settings = fields["settings"]
        augmentation = AugmentationSettings(**settings.pop("augmentation"))
        return cls(
            epochs=fields["epochs"],
            settings=TrainingSettings(**settings, augmentation=augmentation),
            content=fields["content"],
        )


def _no_state() -> TrainingState:
    raise RuntimeError("this epoch was not produced by a training loop, so it has no state.")


@dataclass(frozen=True, kw_only=True, eq=False)
class Epoch:
    """One epoch of training.

    `train_loss` is measured while training, with augmentation and dropout, `valid_loss` with the
    same loss function and without them. Without validation segments `valid_loss` is None and
    `valid_scores` is empty.
    """

    index: int  # from 0
    train_loss: float
    valid_loss: float | None
    valid_scores: NDArray[np.float32]  # [valid segments] P(AFIB)
    seconds: float  # training and validation
    # Copies the loop's state; callable until the next epoch begins.
    state: Callable[[], TrainingState] = field(default=_no_state, repr=False)
