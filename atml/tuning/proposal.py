"""One candidate of a search: an architecture, its configuration and a learning rate."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from atml.models import Architecture, Config, get_architecture


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What a trial trains."""

    architecture: Architecture
    config: Config  # of the architecture's own type
    learning_rate: float

    @classmethod
    def of(cls, name: str, values: Mapping[str, Any], learning_rate: float) -> "Proposal":
        """Return the proposal of an architecture's name and its config's fields.

        Raises:
            ModelError: there is no such architecture, or its config has other fields.
        """
        named = get_architecture(name)
        return cls(architecture=named, config=named.config_from_dict(values), learning_rate=learning_rate)

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickled by name, since the network of a plug-in may be a lambda, which pickle refuses.
        return Proposal.of, (self.architecture.name, self.config.model_dump(), self.learning_rate)

    def build(self, segment_length: int, *, seed: int) -> nn.Module:
        """Build the network with weights that depend only on `seed`; the global RNG is untouched."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed every GPU too
            return self.architecture.build(self.config, segment_length)
