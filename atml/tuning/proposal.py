"""One candidate of a search: an architecture, its configuration and a learning rate."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from atml.models import Architecture, Config


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What a trial trains."""

    architecture: Architecture
    config: Config  # of the architecture's own type
    learning_rate: float

    def build(self, segment_length: int, *, seed: int) -> nn.Module:
        """Build the network with weights that depend only on `seed`; the global RNG is untouched."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed every GPU too
            return self.architecture.build(self.config, segment_length)

    def config_dict(self) -> dict[str, Any]:
        """Return the configuration's fields as plain numbers."""
        return self.config.model_dump()
