"""Random numbers that depend only on the seed and the epoch, so that an epoch can be repeated."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch

STREAMS = ("dropout", "augmentation")


def stream_seed(seed: int, epoch: int, stream: Literal["dropout", "augmentation"]) -> int:
    """Return the seed of one random stream in one epoch."""
    return int(np.random.SeedSequence([seed, epoch, STREAMS.index(stream)]).generate_state(1)[0])


@contextmanager
def fixed_randomness(seed: int, epoch: int, device: torch.device) -> Iterator[None]:
    """Seed PyTorch's global generator, which dropout uses, and restore its state afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(stream_seed(seed, epoch, "dropout"))
        yield
