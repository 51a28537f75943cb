"""Phase 1: which architecture, at which learning rate, reaches the best F-beta?"""

import math
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from optuna import Trial
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.pruners import BasePruner, PercentilePruner
from optuna.trial import FrozenTrial
from pydantic import AfterValidator, Field

from atml.models import get_architecture
from atml.search import records
from atml.search.ladder import LearningRateLadder
from atml.search.phases.phase import Direction, Phase
from atml.search.proposal import Proposal
from atml.search.spec import LadderSpec, Section, all_architectures, all_different, known_architecture


class ArchitectureSearch(Section):
    """The candidates of phase 1 and how its winner is chosen."""

    architectures: Annotated[
        tuple[Annotated[str, AfterValidator(known_architecture)], ...],
        Field(min_length=1),
        AfterValidator(all_different),
    ] = Field(default_factory=all_architectures)
    learning_rate: LadderSpec = LadderSpec(low=5e-4, high=3e-2, steps=9)
    # F-beta that a file of twice the size has to gain to be worth it.
    gain_per_doubling: Annotated[float, Field(ge=0, le=1)] = 0.005


class ArchitecturePhase(Phase):
    """Maximises validation F-beta over architectures and learning rates."""

    directions: ClassVar[tuple[Direction, ...]] = ("maximize",)
    metric_names: ClassVar[tuple[str, ...]] = ("fbeta",)

    phase: Literal["architecture"] = "architecture"
    search: ArchitectureSearch = ArchitectureSearch()

    def space(self) -> dict[str, BaseDistribution]:
        """Return the architecture and the learning rate."""
        rates = self.search.learning_rate
        return {
            records.ARCHITECTURE: CategoricalDistribution(self.search.architectures),
            records.LEARNING_RATE: FloatDistribution(rates.low, rates.high, log=rates.scale == "log"),
        }

    def ladder(self) -> LearningRateLadder:
        """Return the spec's ladder."""
        return self.search.learning_rate.ladder()

    def first_points(self) -> list[dict[str, Any]]:
        """Return every architecture once, at the middle rung, so that none is overlooked."""
        rungs = self.ladder().values
        middle = rungs[len(rungs) // 2]
        return [
            {records.ARCHITECTURE: name, records.LEARNING_RATE: middle} for name in self.search.architectures
        ]

    def suggest(self, trial: Trial) -> Proposal:
        """Suggest an architecture, in its default configuration, and a learning rate."""
        rates = self.search.learning_rate
        name = trial.suggest_categorical(records.ARCHITECTURE, self.search.architectures)
        rate = trial.suggest_float(records.LEARNING_RATE, rates.low, rates.high, log=rates.scale == "log")
        architecture = get_architecture(name)
        return Proposal(architecture=architecture, config=architecture.default(), learning_rate=rate)

    def values(self, fbeta: float, onnx_bytes: int) -> float:  # noqa: ARG002
        """Return F-beta; the size is recorded beside it."""
        return fbeta

    def rank(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """Order by F-beta, except that the best bargain of F-beta and size comes first."""
        ranked = sorted(records.completed(trials), key=lambda t: (-records.fbeta(t), records.onnx_bytes(t)))
        if not ranked:
            return []
        winner = max(ranked, key=self._worth)
        return [winner, *(trial for trial in ranked if trial is not winner)]

    def _worth(self, trial: FrozenTrial) -> float:
        """Return F-beta less what a file of this size has to gain."""
        doublings = math.log2(records.onnx_bytes(trial))
        return records.fbeta(trial) - self.search.gain_per_doubling * doublings

    def report(self, trial: Trial, fbeta: float, epoch: int) -> None:
        """Report the epoch's F-beta as Optuna's intermediate value."""
        trial.report(fbeta, epoch)

    def _wrapped_pruner(self) -> BasePruner:
        # The worst of the trials at the same epoch go, not the worse half: architectures differ in how
        # fast they start, and the best of them do not start fastest.
        return PercentilePruner(
            self.pruning.keep * 100,
            n_startup_trials=self.pruning.startup_trials,
            n_warmup_steps=self.pruning.warmup_epochs,
        )
