"""The points of a study: every candidate at every learning rate."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna import Trial
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial

from atml.errors import StudyError
from atml.tuning import records
from atml.tuning.candidates import Candidate
from atml.tuning.ladder import LearningRateLadder
from atml.tuning.proposal import Proposal

Key = tuple[str, int, float]
FIXED_PARAMS = "fixed_params"  # Optuna's attribute with the parameters that a trial will be given


@dataclass(frozen=True, kw_only=True)
class Point:
    """A candidate with a learning rate: what one trial trains."""

    candidate: Candidate
    learning_rate: float

    @property
    def key(self) -> Key:
        """Identifies the point within its study."""
        return (self.candidate.architecture, self.candidate.onnx_bytes, self.learning_rate)

    @property
    def params(self) -> dict[str, Any]:
        """The point as parameters of a trial."""
        names = (records.ARCHITECTURE, records.ONNX_BYTES, records.LEARNING_RATE)
        return dict(zip(names, self.key, strict=True))

    def network(self) -> dict[str, Any]:
        """The network, as recorded on a trial."""
        config = self.candidate.config.model_dump()
        footprint = {n: v for n, v in asdict(self.candidate.footprint).items() if v is not None}
        return {"config": config, "parameters": self.candidate.parameters, **footprint}

    def proposal(self) -> Proposal:
        """Return the network and learning rate to train."""
        return self.candidate.proposal(self.learning_rate)


def key_of(params: Mapping[str, Any]) -> Key | None:
    """Return the key of the point that a trial's parameters name; None if some are missing."""
    try:
        return (
            params[records.ARCHITECTURE],
            params[records.ONNX_BYTES],
            params[records.LEARNING_RATE],
        )
    except KeyError:
        return None


def point_of(trial: FrozenTrial) -> Key | None:
    """Return the key of a trial's point, also if the trial has not yet been given its parameters."""
    return key_of({**trial.system_attrs.get(FIXED_PARAMS, {}), **trial.params})


@dataclass(frozen=True, eq=False)
class Grid:
    """The finite space of a study.

    Args:
        candidates: Networks, each architecture and size once.
        ladder: Learning rates.
    """

    candidates: tuple[Candidate, ...]
    ladder: LearningRateLadder

    @cached_property
    def points(self) -> tuple[Point, ...]:
        """All points, the smallest networks first."""
        return tuple(
            Point(candidate=candidate, learning_rate=rate)
            for candidate in sorted(self.candidates, key=lambda one: one.onnx_bytes)
            for rate in self.ladder.values
        )

    @cached_property
    def index(self) -> dict[Key, int]:
        """The index of every point by its key."""
        return {point.key: position for position, point in enumerate(self.points)}

    @cached_property
    def architectures(self) -> tuple[str, ...]:
        """The names of the architectures, each once."""
        return tuple(dict.fromkeys(candidate.architecture for candidate in self.candidates))

    @cached_property
    def onnx_bytes(self) -> NDArray[np.int64]:
        """[points] size of the network."""
        return np.array([point.candidate.onnx_bytes for point in self.points], np.int64)

    def space(self) -> dict[str, BaseDistribution]:
        """Return a trial's parameters with their Optuna distributions."""
        sizes = sorted(candidate.onnx_bytes for candidate in self.candidates)
        rates = self.ladder
        return {
            records.ARCHITECTURE: CategoricalDistribution(self.architectures),
            records.ONNX_BYTES: IntDistribution(sizes[0], sizes[-1], log=True),
            records.LEARNING_RATE: FloatDistribution(rates.low, rates.high, log=rates.scale == "log"),
        }

    def suggest(self, trial: Trial) -> Point:
        """Suggest the parameters of `trial` and return the point they name.

        Raises:
            StudyError: the trial was queued by hand with parameters that name no point.
        """
        sizes = sorted(candidate.onnx_bytes for candidate in self.candidates)
        rates = self.ladder
        key = (
            trial.suggest_categorical(records.ARCHITECTURE, self.architectures),
            trial.suggest_int(records.ONNX_BYTES, sizes[0], sizes[-1], log=True),
            trial.suggest_float(records.LEARNING_RATE, rates.low, rates.high, log=rates.scale == "log"),
        )
        if key not in self.index:
            raise StudyError(f"trial {trial.number}: {trial.params} is not a point of this study's grid")
        return self.points[self.index[key]]
