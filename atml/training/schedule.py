"""How the learning rate moves while training."""

import math
from typing import Any, Protocol

from atml.training.settings import TrainingSettings

WARM_UP = 0.2  # share of all steps; the rate peaks at its end
FIRST, LAST = 1 / 25, 1 / 1000  # of the peak

PLATEAU_PATIENCE = 2  # epochs
PLATEAU_FACTOR = 0.5


class Schedule(Protocol):
    """A learning rate for each step, counted from 0 over all epochs."""

    def rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        ...

    def epoch_ended(self, loss: float) -> None:
        """Take note of the loss that an epoch ended with."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return what has been noted so far."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        ...


def make_schedule(settings: TrainingSettings, steps_per_epoch: int) -> Schedule:
    """Return the schedule that `settings` name."""
    if settings.schedule == "one-cycle":
        return OneCycle(settings.learning_rate, steps_per_epoch * settings.epochs)
    if settings.schedule == "plateau":
        return Plateau(settings.learning_rate)
    return Constant(settings.learning_rate)


class Constant:
    """The same rate from first to last."""

    def __init__(self, learning_rate: float) -> None:
        """Keep the rate."""
        self._learning_rate = learning_rate

    def rate(self, step: int) -> float:  # noqa: ARG002
        """Return the rate."""
        return self._learning_rate

    def epoch_ended(self, loss: float) -> None:
        """A constant rate learns nothing from it."""

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: there is nothing to note."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Do nothing: there is nothing to go on from."""


class OneCycle(Constant):
    """Up to the peak and down to almost nothing, along half cosines.

    Smith & Topin, Super-Convergence, 2018; the cosines are PyTorch's `OneCycleLR`'s.
    """

    def __init__(self, learning_rate: float, steps: int) -> None:
        """Peak at `learning_rate` after `WARM_UP` of `steps`."""
        super().__init__(learning_rate)
        self._peak = max(1.0, WARM_UP * steps)
        self._end = max(self._peak + 1, steps - 1)

    def rate(self, step: int) -> float:
        """Return the rate of a step."""
        if step < self._peak:
            share = _half_cosine(FIRST, 1, step / self._peak)
        else:
            share = _half_cosine(1, LAST, min(1.0, (step - self._peak) / (self._end - self._peak)))
        return self._learning_rate * share


class Plateau(Constant):
    """Halved when `PLATEAU_PATIENCE` epochs have not lowered the loss."""

    def __init__(self, learning_rate: float) -> None:
        """Start at `learning_rate`."""
        super().__init__(learning_rate)
        self._factor = 1.0
        self._lowest_loss = math.inf
        self._waited = 0

    def rate(self, step: int) -> float:
        """Return the present rate."""
        return super().rate(step) * self._factor

    def epoch_ended(self, loss: float) -> None:
        """Halve the rate if the loss has stayed for long enough."""
        if loss < self._lowest_loss:
            self._lowest_loss, self._waited = loss, 0
            return
        self._waited += 1
        if self._waited >= PLATEAU_PATIENCE:
            self._factor *= PLATEAU_FACTOR
            self._waited = 0

    def state_dict(self) -> dict[str, Any]:
        """Return what has been noted so far."""
        return {"factor": self._factor, "lowest_loss": self._lowest_loss, "waited": self._waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self._factor, self._lowest_loss = state["factor"], state["lowest_loss"]
        self._waited = state["waited"]


def _half_cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
