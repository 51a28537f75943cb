"""The result of a training epoch, and the state from which training continues."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """A training loop between two epochs, from which `train(resume=…)` continues bit for bit.

    The network, segments and settings given to `train` must be those of the state.
    """

    epochs: int  # finished
    content: Mapping[str, Any]  # tensors and plain values; the loop knows which


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
    state: Callable[[], TrainingState] = field(repr=False)
