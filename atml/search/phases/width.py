"""Phase 2: how small can the chosen architecture be made, and how accurate does it stay?"""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from optuna import Trial
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial
from pydantic import AfterValidator, Field, model_validator

from atml.models import Architecture, get_architecture
from atml.search import records
from atml.search.ladder import LearningRateLadder
from atml.search.phases.phase import Direction, Phase
from atml.search.proposal import Proposal
from atml.search.size_rungs import SizeAwarePruner
from atml.search.spec import CountOrZero, LadderSpec, Section, known_architecture

# Scaling all widths together is the natural first guess (compound scaling, Tan and Le 2019).
FIRST_SCALES = (1.0, 0.75, 0.5, 1.5, 0.35)

WidthFactor = Annotated[float, Field(gt=0, le=10)]  # ten times the widths are a hundred times the weights


class BaseSpec(Section):
    """What phase 2 starts from: a finished phase 1 study, or an architecture named outright."""

    study: str | None = None
    trial: CountOrZero | None = None
    architecture: Annotated[str, AfterValidator(known_architecture)] | None = None
    learning_rate: Annotated[float, Field(gt=0)] | None = None


class WidthRange(Section):
    """Factors by which every width of the base configuration may be scaled."""

    low: WidthFactor = 0.25
    high: WidthFactor = 1.5

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"`low` must not exceed `high` but got {self.low} and {self.high}")
        return self


class WidthSearch(Section):
    """The widths, and if wished the learning rates, of phase 2."""

    widths: WidthRange = WidthRange()
    learning_rate: LadderSpec | None = None


class WidthPhase(Phase):
    """Maximises validation F-beta and minimises the ONNX size over widths."""

    directions: ClassVar[tuple[Direction, ...]] = ("maximize", "minimize")
    metric_names: ClassVar[tuple[str, ...]] = ("fbeta", "onnx_bytes")

    phase: Literal["width"] = "width"
    base: BaseSpec = BaseSpec()
    search: WidthSearch = WidthSearch()

    @model_validator(mode="after")
    def _has_a_base(self) -> Self:
        if not (self.base.study or (self.base.architecture and self.base.learning_rate)):
            raise ValueError("[base] must name a `study`, or an `architecture` and a `learning_rate`")
        return self

    def on(self, base: BaseSpec) -> "WidthPhase":
        """Return this phase with its base filled in."""
        return self.model_copy(update={"base": base})

    def architecture(self) -> Architecture:
        """Return the architecture whose widths are searched."""
        if self.base.architecture is None:
            raise ValueError(f"the base study {self.base.study!r} has not been looked up yet")
        return get_architecture(self.base.architecture)

    def space(self) -> dict[str, BaseDistribution]:
        """Return every width of the architecture, and the learning rate if it is searched."""
        space: dict[str, BaseDistribution] = {
            name: IntDistribution(low, high) for name, (low, high) in self._widths().items()
        }
        if rates := self.search.learning_rate:
            space[records.LEARNING_RATE] = FloatDistribution(rates.low, rates.high, log=rates.scale == "log")
        return space

    def ladder(self) -> LearningRateLadder | None:
        """Return the spec's ladder, if the learning rate is searched."""
        return self.search.learning_rate.ladder() if self.search.learning_rate else None

    def first_points(self) -> list[dict[str, Any]]:
        """Return the base configuration scaled as a whole, within the range."""
        default = self.architecture().default()
        points: list[dict[str, Any]] = []
        for scale in FIRST_SCALES:
            point: dict[str, Any] = {
                name: min(max(round(getattr(default, name) * scale), low), high)
                for name, (low, high) in self._widths().items()
            }
            ladder = self.ladder()
            if ladder and self.base.learning_rate:
                point[records.LEARNING_RATE] = ladder.snap(self.base.learning_rate)
            if point not in points:
                points.append(point)
        return points

    def suggest(self, trial: Trial) -> Proposal:
        """Suggest every width, and the learning rate if it is searched."""
        architecture = self.architecture()
        widths = self.search.widths
        config = architecture.suggest(trial, low=widths.low, high=widths.high)
        rates = self.search.learning_rate
        if rates:
            rate = trial.suggest_float(records.LEARNING_RATE, rates.low, rates.high, log=rates.scale == "log")
        else:
            rate = self.base.learning_rate or 0.0
        return Proposal(architecture=architecture, config=config, learning_rate=rate)

    def values(self, fbeta: float, onnx_bytes: int) -> tuple[float, ...]:
        """Return F-beta and the size."""
        return (fbeta, float(onnx_bytes))

    def rank(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """Order by the summed relative shortfall of the targets, then the smaller, then the better."""
        return sorted(
            records.completed(trials),
            key=lambda t: (self._shortfall(t), records.onnx_bytes(t), -records.fbeta(t)),
        )

    def report(self, trial: Trial, fbeta: float, epoch: int) -> None:
        """Say nothing: Optuna refuses reports in a study with two objectives."""

    def _wrapped_pruner(self) -> BasePruner:
        return SizeAwarePruner(
            startup_trials=self.pruning.startup_trials,
            warmup_epochs=self.pruning.warmup_epochs,
            keep=self.pruning.keep,
        )

    def _widths(self) -> dict[str, tuple[int, int]]:
        widths = self.search.widths
        return self.architecture().width_space(low=widths.low, high=widths.high)

    def _shortfall(self, trial: FrozenTrial) -> float:
        short = 0.0
        if self.targets.fbeta:
            short += max(0.0, (self.targets.fbeta - records.fbeta(trial)) / self.targets.fbeta)
        if self.targets.onnx_bytes:
            short += max(0.0, records.onnx_bytes(trial) / self.targets.onnx_bytes - 1)
        return short


def pareto_front(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the completed trials that no other beats in F-beta and size both, smallest first.

    Worked out from the recorded figures rather than `study.best_trials`, which leaves out every
    trial that misses a target.
    """
    front: list[FrozenTrial] = []
    by_size = sorted(records.completed(trials), key=lambda t: (records.onnx_bytes(t), -records.fbeta(t)))
    for trial in by_size:
        if not front or records.fbeta(trial) > records.fbeta(front[-1]):
            front.append(trial)
    return front
