"""A running average of a network's weights, which generalises better than the last step."""

from copy import deepcopy
from typing import Any

import torch
from torch import nn

_STATISTICS = ("running_mean", "running_var")


class WeightAverage:
    """An exponential moving average of the weights and buffers of a network (Polyak averaging).

    PyTorch's `AveragedModel` does the same but looks up every tensor at every step: 2.5 ms per step instead
    of .13 ms for ResNet1d, 4 % of the step.

    The decay rises as (1 + t)/(10 + t) to its final value, so the random initial weights are forgotten
    quickly and short runs are averaged correctly. BatchNorm's running statistics are averaged with the
    weights they belong to. All else is copied: counters, and constants, which may be infinite, as in the mask
    of an attention, and whose average would then be undefined.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.module = deepcopy(model).requires_grad_(False).eval()
        self._decay = decay
        self._updates = 0
        means, now = _tensors(self.module), _tensors(model)
        averaged = [name for name, one in now.items() if one.requires_grad or name.endswith(_STATISTICS)]
        self._means, self._weights = [means[n] for n in averaged], [now[n].detach() for n in averaged]
        self._others = [(means[name], now[name]) for name in now.keys() - set(averaged)]

    def update(self) -> None:
        """Include the network's current weights, after an optimiser step."""
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        self._updates += 1
        # One call for all tensors, as in torch.optim.swa_utils.
        torch._foreach_lerp_(self._means, self._weights, 1 - decay)
        for mean, now in self._others:
            mean.copy_(now)

    def state_dict(self) -> dict[str, Any]:
        """Return the average and its number of steps."""
        return {"module": self.module.state_dict(), "updates": self._updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.module.load_state_dict(state["module"])
        self._updates = state["updates"]


def _tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}
