"""Phase 1: which architecture, at which learning rate, is best at the requested size?"""

from typing import ClassVar, Literal

from atml.tuning.phases.phase import Direction, Phase
from atml.tuning.spec import SearchSpec, Sizes

# A typical size for a wearable.
DEFAULT_SIZE = 10_000


class OneSizeSpec(SearchSpec):
    """A search at one size by default."""

    sizes: Sizes = (DEFAULT_SIZE,)


class ArchitecturePhase(Phase):
    """Maximises F-beta over architectures and learning rates, every network scaled to one size."""

    directions: ClassVar[tuple[Direction, ...]] = ("maximize",)
    metric_names: ClassVar[tuple[str, ...]] = ("fbeta",)

    phase: Literal["architecture"] = "architecture"
    search: OneSizeSpec = OneSizeSpec()

    def architectures(self) -> tuple[str, ...]:
        """Return the spec's architectures."""
        return self.search.architectures

    def values(self, fbeta: float, onnx_bytes: int) -> float:  # noqa: ARG002
        """Return F-beta; the size is recorded separately."""
        return fbeta
