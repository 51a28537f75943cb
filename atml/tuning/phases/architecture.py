"""Phase 1: which architecture, at which learning rate, is best at the requested size?"""

from typing import ClassVar, Literal

from atml.tuning.phases.phase import Direction, Phase
from atml.tuning.spec import SearchSpec, Sizes

# A typical size for a wearable.
DEFAULT_SIZE = 10_000


class OneSizeSpec(SearchSpec):
    """A search at one size by default."""

    sizes: Sizes = (DEFAULT_SIZE,)
    """Bytes; each architecture is scaled to the largest network that fits into each size."""


class ArchitecturePhase(Phase):
    """Maximises F-beta over architectures and learning rates, every network scaled to one size."""

    directions: ClassVar[tuple[Direction, ...]] = ("maximize",)

    phase: Literal["architecture"] = "architecture"
    """Architectures and learning rates are searched at one size, for F-beta alone."""
    search: OneSizeSpec = OneSizeSpec()
    """The points of the search. A point is an architecture, scaled to a size, with a learning rate."""
