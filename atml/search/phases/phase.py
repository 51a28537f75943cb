"""What every phase answers: what may be tried, with which sampler and pruner, and what counts."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from optuna import Study, Trial
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial

from atml.search import records
from atml.search.ladder import LearningRateLadder
from atml.search.neighbourhood import NeighbourhoodPruner
from atml.search.proposal import Proposal
from atml.search.sampler import DistinctSampler
from atml.search.spec import StudySpec

Direction = Literal["maximize", "minimize"]


class Phase(StudySpec):
    """A spec together with what its phase makes of it."""

    directions: ClassVar[tuple[Direction, ...]]
    metric_names: ClassVar[tuple[str, ...]]

    @abstractmethod
    def space(self) -> dict[str, BaseDistribution]:
        """Return every searched parameter with its distribution."""

    @abstractmethod
    def ladder(self) -> LearningRateLadder | None:
        """Return the learning rates that may be tried, or None if the learning rate is fixed."""

    @abstractmethod
    def first_points(self) -> list[dict[str, Any]]:
        """Return the points to try before the sampler has anything to learn from."""

    @abstractmethod
    def suggest(self, trial: Trial) -> Proposal:
        """Ask `trial` for its parameters and return what they stand for."""

    @abstractmethod
    def values(self, fbeta: float, onnx_bytes: int) -> float | tuple[float, ...]:
        """Return the objective values of a trained trial."""

    @abstractmethod
    def rank(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """Return the completed trials among `trials`, best first."""

    @abstractmethod
    def _wrapped_pruner(self) -> BasePruner:
        """Return the pruner for trials that have begun to train."""

    @abstractmethod
    def report(self, trial: Trial, fbeta: float, epoch: int) -> None:
        """Tell Optuna about an epoch, where it takes such a report."""

    @property
    def decision_threshold(self) -> float:
        """Probability from which a search calls AFIB: 1 / (1 + beta²), .2 for beta 2.

        Calling more segments AFIB raises F-beta as long as their probability exceeds F* / (1 + beta²),
        where F* is the best F-beta there is (Lipton, Elkan and Naryanaswamy, 2014, for F1); F* is
        close to 1 here. At .5, networks that overestimate would win. A threshold fitted to each trial
        would flatter it; the shipped model's own is calibrated once, in finalize.
        """
        return 1 / (1 + self.beta**2)

    def pruner(self) -> NeighbourhoodPruner:
        """Return this phase's pruner."""
        rule = self.pruning.neighbourhood
        fixed = LearningRateLadder(low=1.0, high=1.0, steps=1)  # one rung: nothing to be near to
        return NeighbourhoodPruner(
            self._wrapped_pruner(),
            self.ladder() or fixed,
            radius=rule.radius,
            threshold=rule.threshold if self.ladder() else 0.0,
            metric=rule.metric,
        )

    def sampler(self, worker: int) -> BaseSampler:
        """Return the sampler of one worker; each worker draws differently."""
        seed = self.seed + worker  # with the same seed, all would start with the same trials
        startup_trials = max(10, len(self.first_points()))
        tpe = TPESampler(seed=seed, n_startup_trials=startup_trials, multivariate=True)
        return DistinctSampler(tpe, self.space(), ladder=self.ladder(), seed=seed)

    def meets_targets(self, trial: FrozenTrial) -> bool:
        """Whether a completed trial meets every target that is set; False if none is."""
        return bool(self.failed_targets(trial) == () and (self.targets.fbeta or self.targets.onnx_bytes))

    def failed_targets(self, trial: FrozenTrial) -> tuple[str, ...]:
        """Return the names of the targets that `trial` misses."""
        failed = []
        if self.targets.fbeta is not None and records.fbeta(trial) < self.targets.fbeta:
            failed.append("fbeta")
        if self.targets.onnx_bytes is not None and records.onnx_bytes(trial) > self.targets.onnx_bytes:
            failed.append("onnx_bytes")
        return tuple(failed)

    def should_prune(self, study: Study, number: int) -> bool:
        """Ask the pruner about trial `number`, in a study with any number of objectives."""
        return bool(study.pruner.prune(study, study.get_trials(deepcopy=False)[number]))
