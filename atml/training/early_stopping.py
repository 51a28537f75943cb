"""The original's early stop: no progress on the validation loss is not enough, it must overfit."""

import math
from typing import Any

from atml.training.epoch import Epoch


class EarlyStopping:
    """Stops after `patience` epochs without a better validation loss, once training is ahead.

    Training is ahead when `train_loss < valid_loss - gap`. While it is not, the network still
    underfits (augmentation and dropout make training the harder of the two), and goes on.
    """

    def __init__(self, *, patience: int | None, gap: float) -> None:
        """Never stop if `patience` is None."""
        if patience is not None and patience < 1:
            raise ValueError(f"patience must be at least 1 or None, but got {patience}.")
        if not gap >= 0:
            raise ValueError(f"gap must not be negative, but got {gap}.")
        self._patience = patience
        self._gap = gap
        self._lowest_loss = math.inf
        self._waited = 0

    def should_stop(self, epoch: Epoch) -> bool:
        """Take note of `epoch`, and say whether it should be the last; ask once an epoch."""
        if epoch.valid_loss is None or self._patience is None:
            return False
        if epoch.valid_loss < self._lowest_loss:
            self._lowest_loss = epoch.valid_loss
            self._waited = 0
        else:
            self._waited += 1
        return self._waited >= self._patience and epoch.train_loss < epoch.valid_loss - self._gap

    def state_dict(self) -> dict[str, Any]:
        """Return what has been noted so far."""
        return {"lowest_loss": self._lowest_loss, "waited": self._waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self._lowest_loss = state["lowest_loss"]
        self._waited = state["waited"]
