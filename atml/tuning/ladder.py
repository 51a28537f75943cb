"""The ladder of learning rates that a search may try."""

import itertools
import math
from functools import cached_property
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

SIGNIFICANT_DIGITS = 3


class LearningRateLadder(BaseModel):
    """Learning rates from `low` to `high` in `steps` rungs, spaced evenly on `scale`; a table of the spec.

    The distance between two learning rates is counted in rungs, so "a neighbour" means the same at
    1e-4 as at 1e-2 on a logarithmic ladder.

    Raises:
        ValueError: the range is empty or not positive, or its rungs coincide.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    low: float = 4e-3
    """Lowest rung."""
    high: float = 3e-1
    """Highest rung."""
    steps: Annotated[int, Field(le=1000)] = 9
    """Number of rungs."""
    scale: Literal["log", "linear"] = "log"
    """Whether neighbouring rungs have the same ratio or the same difference."""

    @model_validator(mode="after")
    def _is_a_ladder(self) -> Self:
        if not 0 < self.low <= self.high < math.inf:
            raise ValueError(f"`low` and `high` must be 0 < low <= high but got {self.low} and {self.high}")
        if self.steps < 1 or (self.steps == 1) != (self.low == self.high):
            raise ValueError(f"`steps` must be 1 for one learning rate, else 2 or more, but got {self.steps}")
        if any(below >= above for below, above in itertools.pairwise(self.values)):
            raise ValueError(
                f"`steps` is too large for {self.low} to {self.high}: rungs coincide at {self.steps}"
            )
        return self

    @cached_property
    def values(self) -> tuple[float, ...]:
        """The rungs in ascending order, rounded so that they are easy to read and type."""
        space = np.geomspace if self.scale == "log" else np.linspace
        inner = (
            float(f"{value:.{SIGNIFICANT_DIGITS}g}") for value in space(self.low, self.high, self.steps)[1:-1]
        )
        return (self.low, *inner, self.high) if self.steps > 1 else (self.low,)

    def rung(self, learning_rate: float) -> int:
        """Index of the rung nearest to `learning_rate`, measured on the ladder's scale."""
        project = np.log if self.scale == "log" else np.asarray
        distances = np.abs(project(np.array(self.values)) - project(np.array(learning_rate)))
        return int(distances.argmin())
