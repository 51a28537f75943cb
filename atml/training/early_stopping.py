"""Early stopping: no progress in the validation loss, and overfitting."""

import math
from typing import Any

from atml.training.epoch import Epoch


class EarlyStopping:
    """Stops after `patience` epochs without a better validation loss, once the network overfits.

    It overfits when `train_loss < valid_loss - gap`. Until then it still underfits (augmentation and
    dropout make the training loss the harder of the two), and training continues.
    """

    def __init__(self, *, patience: int | None, gap: float) -> None:
        """Never stop if `patience` is None."""
        self._patience = patience
        self._gap = gap
        self._lowest_loss = math.inf
        self._waited = 0

    def should_stop(self, epoch: Epoch) -> bool:
        """Record `epoch` and return whether it should be the last; call once per epoch."""
        if epoch.valid_loss is None or self._patience is None:
            return False
        if epoch.valid_loss < self._lowest_loss:
            self._lowest_loss = epoch.valid_loss
            self._waited = 0
        else:
            self._waited += 1
        return self._waited >= self._patience and epoch.train_loss < epoch.valid_loss - self._gap

    def state_dict(self) -> dict[str, Any]:
        """Return the state so far."""
        return {"lowest_loss": self._lowest_loss, "waited": self._waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._lowest_loss = state["lowest_loss"]
        self._waited = state["waited"]
