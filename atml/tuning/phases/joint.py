"""The joint search over architecture, size and learning rate, F-beta against ONNX bytes."""

from typing import Literal

from atml.tuning.phases.phase import Phase
from atml.tuning.spec import SearchSpec


class JointPhase(Phase):
    """Maximises F-beta and minimises the ONNX size over all architectures and sizes."""

    phase: Literal["joint"] = "joint"
    """Architectures, sizes and learning rates are searched together, F-beta against ONNX bytes."""
    search: SearchSpec = SearchSpec()
    """The points of the search. A point is an architecture, scaled to a size, with a learning rate."""
