"""The base of all phases: the compared networks, the sampler, the pruner and the objectives."""

from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from atml.tuning import records
from atml.tuning.candidates import Candidate, fitting_architectures, sized_candidates
from atml.tuning.footprints import with_footprint, within_limits
from atml.tuning.grid import Grid
from atml.tuning.pruning import FirstFoldPruner, LearningRatePruner
from atml.tuning.race import Race
from atml.tuning.ranking import contenders, rank
from atml.tuning.sampler import FrontSampler
from atml.tuning.spec import SearchSpec, StudySpec
from atml.tuning.standings import Standings

Direction = Literal["maximize", "minimize"]


class Phase(StudySpec):
    """A spec together with the rules of its phase."""

    directions: ClassVar[tuple[Direction, ...]] = ("maximize", "minimize")

    search: SearchSpec
    """The points of the search. A point is an architecture, scaled to a size, with a learning rate."""

    def architectures(self) -> tuple[str, ...]:
        """Return the names of the architectures that are compared: those of the spec, by default."""
        return self.search.architectures

    def metric_names(self) -> list[str]:
        """Return the names of the objectives, in order."""
        return ["fbeta", f"{self.targets.size_of}_bytes"][: len(self.directions)]

    def values(self, fbeta: float, onnx_bytes: int) -> tuple[float, ...]:
        """Return the objective values of a trained trial, in order."""
        return (fbeta, float(onnx_bytes))[: len(self.directions)]

    def candidates(
        self, segment_length: int, progress: Callable[[int, int], None] | None = None
    ) -> tuple[Candidate, ...]:
        """Return the networks that are compared on segments of that length.

        `progress` is called with (architectures done, architectures in total).

        Raises:
            ModelError: no architecture fits the segments or the sizes, or one cannot be measured.
            SpecError: no network keeps to the limits of the targets.
        """
        names = fitting_architectures(self.architectures(), segment_length)
        found: list[Candidate] = []
        for done, name in enumerate(names, start=1):
            sized = sized_candidates(
                [name],
                self.search.sizes,
                segment_length,
                shapes=self.search.shapes,
                size_of=self.targets.size_of,
            )
            found += [with_footprint(one, self.targets, segment_length) for one in sized]
            if progress is not None:
                progress(done, len(names))
        return within_limits(found, self.targets)

    def grid(self, candidates: Sequence[Candidate]) -> Grid:
        """Return all points of the study."""
        return Grid(tuple(candidates), self.search.learning_rate)

    def race(self) -> Race:
        """Return the race, which decides which candidates continue to another fold."""
        return Race(sizes=self.search.sizes, chance=self.pruning.race_chance, seed=self.seed)

    def pruner(self) -> LearningRatePruner:
        """Return this phase's pruner."""
        rule = self.pruning.neighbourhood
        behind = FirstFoldPruner(
            startup_trials=self.pruning.startup_trials,
            warmup_steps=self.pruning.warmup_epochs,
            keep=self.pruning.keep,
        )
        return LearningRatePruner(
            behind,
            self.search.learning_rate,
            radius=rule.radius,
            threshold=rule.threshold,
            metric=rule.metric,
        )

    def sampler(self, worker: int, grid: Grid) -> BaseSampler:
        """Return the sampler of one worker; each worker has its own seed."""
        return FrontSampler(
            grid,
            self.search.sizes,
            standings=lambda trials: self.standings(grid, trials),
            seed=self.seed + worker,
        )

    def standings(self, grid: Grid, trials: Sequence[FrozenTrial]) -> Standings:
        """Return the standings of the study's points."""
        ruled_out = self.pruner().ruled_out(trials, grid)
        return Standings.of(grid, self.data.folds, trials, ruled_out=ruled_out)

    def is_exhausted(self, grid: Grid, trials: Sequence[FrozenTrial]) -> bool:
        """Whether nothing is left to train: every point is finished, running or ruled out."""
        ruled_out = self.pruner().ruled_out(trials, grid)
        if len(trials) + ruled_out.sum() < len(grid.points):
            return False  # a trial ends or holds one point only
        now = Standings.of(grid, self.data.folds, trials, ruled_out=ruled_out)
        return bool((now.closed | now.running).all())

    def rank(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """Return the trials that finished the race, best first; while none has, those that got furthest."""
        return [one.trial for one in rank(contenders(trials), self.targets)]

    def meets_targets(self, trial: FrozenTrial) -> bool:
        """Whether a trial finished the race and meets every target; False if none is set."""
        has_targets = self.targets.fbeta or self.targets.onnx_bytes
        return bool(has_targets and trial.state == TrialState.COMPLETE and self.failed_targets(trial) == ())

    def failed_targets(self, trial: FrozenTrial) -> tuple[str, ...]:
        """Return the names of the targets that `trial` misses."""
        return self.targets.missed(records.fbeta(trial), records.onnx_bytes(trial))
