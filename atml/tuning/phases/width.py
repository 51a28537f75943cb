"""Phase 2: how small can the best architectures of phase 1 be made while staying accurate?"""

from collections.abc import Sequence
from typing import Literal, Self

from optuna.trial import FrozenTrial
from pydantic import model_validator

from atml.models import get_architecture
from atml.tuning import records
from atml.tuning.phases.phase import Phase
from atml.tuning.spec import Architectures, Count, SearchSpec, Section, Shapes


class BaseSpec(Section):
    """The base of phase 2: a finished phase 1 study, or explicitly named architectures."""

    study: str | None = None
    """Phase 1 study whose best architectures are taken; or name `architectures`."""
    architectures: Architectures | None = None
    """Explicit names of the architectures."""
    candidates: Count = 3
    """How many of the base study's architectures to take; those without widths are skipped."""

    @model_validator(mode="after")
    def _is_a_base(self) -> Self:
        if self.study is None and self.architectures is None:
            raise ValueError("name a `study`, or `architectures`")
        return self


class ShapedSpec(SearchSpec):
    """A search over several shapes of each architecture."""

    shapes: Shapes = (0.7, 1.0, 1.4)
    """Factors by which the first width is stretched relative to the others, at the same size; 1 scales all
    equally."""


class WidthPhase(Phase):
    """Maximises F-beta and minimises the ONNX size over the widths of a few architectures."""

    phase: Literal["width"] = "width"
    """Sizes, shapes and learning rates of a few architectures are searched, F-beta against ONNX bytes."""
    base: BaseSpec
    """A finished phase 1 study, or explicitly named architectures."""
    search: ShapedSpec = ShapedSpec()
    """The points of the search. A point is an architecture, scaled to a size, with a learning rate."""

    def architectures(self) -> tuple[str, ...]:
        """Return the architectures whose widths are searched."""
        if self.base.architectures is None:
            raise ValueError(f"the base study {self.base.study!r} has not been looked up yet")
        return self.base.architectures

    def chosen_from(self, ranking: Sequence[FrozenTrial]) -> tuple[str, ...]:
        """Return the best architectures of the base study that have widths to search."""
        names = dict.fromkeys(records.architecture(trial) for trial in ranking)
        scalable = [name for name in names if get_architecture(name).minimum_widths]
        return tuple(scalable[: self.base.candidates])
