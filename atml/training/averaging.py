"""The running average of a network's weights, which generalises better than its last step."""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

Tensors = tuple[Tensor, ...] | list[Tensor]


def weight_average(model: nn.Module, decay: float) -> AveragedModel:
    """Return an exponential moving average of a network's weights and buffers (Polyak averaging).

    The decay rises as n/(9 + n) to `decay`, so that the random weights of the start are forgotten at once
    and short runs are averaged well. BatchNorm's running statistics are averaged with the weights they
    belong to; counters are copied.
    """

    def update(means: Tensors, weights: Tensors, _count: Tensor | int) -> None:
        if not means[0].is_floating_point():
            torch._foreach_copy_(means, weights)
            return
        count = int(average.n_averaged)  # on the CPU: reading `_count` would make a GPU wait
        torch._foreach_lerp_(means, weights, 1 - min(decay, count / (9 + count)))

    average = AveragedModel(model, multi_avg_fn=update, use_buffers=True)
    average.n_averaged.fill_(1)  # the weights of the start
    return average
