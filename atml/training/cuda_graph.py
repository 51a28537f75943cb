"""A network's training pass on a GPU as CUDA graphs."""

from copy import deepcopy

import torch
from torch import nn


def captured(network: nn.Module, batch_size: int, segment_length: int, device: torch.device) -> nn.Module:
    """Return a module that computes the logits of `network` in training mode for batches of one size.

    Forward and backward pass are recorded once and then started as a whole. A small network is hundreds of
    kernels, and the launch of each takes longer than the kernel itself.

    Weights, buffers and the random state stay as they are. `network` must not move to another device as
    long as the result is used.
    """
    state = deepcopy(network.state_dict())  # recording runs the network, which changes BatchNorm's statistics
    example = torch.zeros(batch_size, 1, segment_length, device=device)
    with torch.random.fork_rng(devices=[device]):
        # Recording replaces `forward` of the module that it is given; the network's own stays as it is.
        recorded = torch.cuda.make_graphed_callables(nn.Sequential(network).train(), (example,))
    assert isinstance(recorded, nn.Module)  # noqa: S101  # what it returns for a module
    network.load_state_dict(state)
    return recorded
