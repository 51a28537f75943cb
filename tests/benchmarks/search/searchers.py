"""Searches on the table, in simulated time: ATML's own code, and what it is compared with.

Each is a function `search(table, seed, workers, horizon)` that returns a list of `Shown`: what the search
knew of a point, and when. What it would ship at a time follows from what was shown until then.
"""

import contextlib
import itertools
import random as plain_random
from dataclasses import dataclass, field

import numpy as np
import optuna
from optuna import TrialPruned

from atml.evaluation import Estimate, estimate
from atml.tuning import records
from atml.tuning.objective import Objective
from atml.tuning.phases import JointPhase
from atml.tuning.ranking import Contender, best_within
from atml.tuning.records import CurvePoint
from tests.benchmarks.search.clock import Clock

SIZES = (4_000, 8_000, 16_000, 43_000)


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a search has found out about a point at a moment."""

    seconds: float
    point: int
    onnx_bytes: int
    estimate: Estimate
    finished: bool = True  # nothing more will be found out about it


def shipped(shown, limit, seconds):
    """Return the point that a search would ship below `limit` bytes after `seconds`, or None."""
    latest = {}
    for one in shown:
        if one.seconds <= seconds:
            latest[one.point] = one
    done = [one for one in latest.values() if one.finished]
    furthest = max((one.estimate.folds for one in latest.values()), default=0)
    among = done or [one for one in latest.values() if one.estimate.folds == furthest]
    models = [Contender(trial=one, onnx_bytes=one.onnx_bytes, estimate=one.estimate) for one in among]
    best = best_within(models, limit)
    return None if best is None else best.trial.point


# --- ATML ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NoState:
    """Stands for a training state, which a table has none of."""

    point: CurvePoint

    def state(self):
        return None


@dataclass
class TableTraining:
    """A fold's training that takes its results from the table and its time from the clock."""

    kept: object
    fold: int
    clock: Clock
    scale: float = 1.0

    def epochs(self):
        for epoch, (losses, fbeta) in enumerate(zip(self.kept.losses, self.kept.fbeta, strict=True)):
            self.clock.sleep(float(self.kept.seconds[epoch]))
            if np.isnan(losses).any():
                from atml.errors import TrainingDiverged

                raise TrainingDiverged(self.kept.error)
            yield NoState(
                CurvePoint(
                    fold=self.fold,
                    train_loss=float(losses[0]),
                    valid_loss=float(losses[1]),
                    fbeta=float(fbeta),
                    seconds=float(self.kept.seconds[epoch]),
                )
            )

    def counts(self):
        self.clock.sleep(float(self.kept.seconds[-1]))
        return self.kept.counts

    def onnx(self, _metadata):
        return b""


@dataclass
class TableTrainer:
    """Trains what `Objective` asks for, on the table."""

    table: object
    clock: Clock

    def fold(self, proposal, fold, *, resume=None):
        architecture = proposal.architecture
        for point in self.table.grid.points:
            same = point.candidate.architecture == architecture.name
            if (
                same
                and point.candidate.config == proposal.config
                and point.learning_rate == proposal.learning_rate
            ):
                at = self.table.grid.index[point.key]
                return TableTraining(self.table.fits[at, fold], fold, self.clock)
        raise KeyError(proposal)


def atml(table, seed, workers, horizon, phase=None):
    """ATML's joint search: the product's sampler, objective, race and pruners, with its default spec."""
    return atml_study(table, seed, workers, horizon, phase)[1]


def atml_study(table, seed, workers, horizon, phase=None):
    """The same; return the study too."""
    phase = phase or joint_phase(table, seed)
    clock = Clock(workers, horizon)
    study = optuna.create_study(directions=list(phase.directions))
    study.pruner = phase.pruner()
    shown = []
    objective = _Watching(
        phase=phase,
        study=study,
        grid=table.grid,
        trainer=TableTrainer(table, clock),
        shown=shown,
        clock=clock,
    )

    def work(index):
        own = optuna.load_study(study_name=study.study_name, storage=study._storage)
        own.pruner = study.pruner
        own.sampler = phase.sampler(index, table.grid)
        while not phase.is_exhausted(table.grid, own.get_trials(deepcopy=False)):
            own.optimize(objective, n_trials=1)

    clock.run(work)
    return study, shown


def joint_phase(table, seed, **pruning):
    """Return ATML's default joint phase on the table's grid."""
    rates = table.grid.ladder
    return JointPhase.model_validate(
        {
            "phase": "joint",
            "name": "table",
            "seed": seed * 100,  # each worker adds its number
            "data": {"folds": table.folds},
            "search": {"learning_rate": {"low": rates.low, "high": rates.high, "steps": rates.steps}},
            "pruning": pruning,
            "budget": {"trials": None},
        }
    )


@dataclass(frozen=True, kw_only=True)
class _Watching(Objective):
    """ATML's objective, which also notes when it found out what."""

    shown: list = field(default_factory=list)
    clock: Clock | None = None

    def _record_folds(self, trial, folds):
        super()._record_folds(trial, folds)
        known = records.estimate(trial)
        at = self.grid.index[
            (trial.params["architecture"], trial.params["onnx_bytes"], trial.params["learning_rate"])
        ]
        self.shown.append(
            Shown(
                seconds=self.clock.now,
                point=at,
                onnx_bytes=int(self.grid.onnx_bytes[at]),
                estimate=known,
                finished=known.folds == self.phase.data.folds,
            )
        )


# --- What ATML is compared with -----------------------------------------------------------------------


class Plain:
    """Trains points of the table on some folds, as a user's own objective around ATML's networks would."""

    def __init__(self, table, clock, folds=1):
        self.table, self.clock, self.folds = table, clock, folds
        self.shown = []
        by_name = {}
        for candidate in sorted(table.grid.candidates, key=lambda one: one.onnx_bytes):
            by_name.setdefault(candidate.architecture, []).append(candidate)
        self.widths = by_name

    def train(self, name, width, rung, report=lambda epoch, fbeta: None):
        """Train and return (F-beta, bytes)."""
        candidate = self.widths[name][width]
        rate = self.table.grid.ladder.values[rung]
        at = self.table.grid.index[(name, candidate.onnx_bytes, rate)]
        counts = []
        for fold in range(self.folds):
            fit = self.table.fits[at, fold]
            for epoch, seconds in enumerate(fit.seconds[:-1]):
                self.clock.sleep(float(seconds))
                if fit.error and np.isnan(fit.losses[epoch]).any():
                    return 0.0, candidate.onnx_bytes
                if fold == 0:
                    report(epoch, float(fit.fbeta[epoch]))
            self.clock.sleep(float(fit.seconds[-1]))
            counts.append(fit.counts)
        known = estimate(counts)
        self.shown.append(
            Shown(seconds=self.clock.now, point=at, onnx_bytes=candidate.onnx_bytes, estimate=known)
        )
        return known.fbeta, candidate.onnx_bytes

    def suggest(self, trial, rungs):
        """Suggest an architecture, one of its widths and a learning rate."""
        name = trial.suggest_categorical("architecture", sorted(self.widths))
        width = trial.suggest_int(f"width_{name}", 0, len(self.widths[name]) - 1)
        return name, width, trial.suggest_int("rung", 0, rungs - 1)


def _joint(table, seed, workers, horizon, sampler, folds=1):
    clock = Clock(workers, horizon)
    plain = Plain(table, clock, folds)
    study = optuna.create_study(directions=["maximize", "minimize"])
    rungs = table.grid.ladder.steps

    def work(index):
        own = optuna.load_study(
            study_name=study.study_name, storage=study._storage, sampler=sampler(seed * 100 + index)
        )
        while True:
            own.optimize(lambda trial: plain.train(*plain.suggest(trial, rungs)), n_trials=1)

    clock.run(work)
    return plain.shown


def joint_tpe(table, seed, workers, horizon):
    """Plain Optuna, one joint study: TPE, two objectives, one fold."""
    return _joint(
        table, seed, workers, horizon, lambda s: optuna.samplers.TPESampler(seed=s, constant_liar=True)
    )


def joint_tpe_all_folds(table, seed, workers, horizon):
    """The same, every trial on all folds."""
    return _joint(
        table,
        seed,
        workers,
        horizon,
        lambda s: optuna.samplers.TPESampler(seed=s, constant_liar=True),
        folds=table.folds,
    )


def joint_nsga2(table, seed, workers, horizon):
    """Plain Optuna, one joint study: NSGA-II, one fold."""
    return _joint(table, seed, workers, horizon, lambda s: optuna.samplers.NSGAIISampler(seed=s))


def joint_random(table, seed, workers, horizon):
    """Plain Optuna, one joint study: random search, one fold."""
    return _joint(table, seed, workers, horizon, lambda s: optuna.samplers.RandomSampler(seed=s))


def two_phases(table, seed, workers, horizon):
    """Plain Optuna in two phases: TPE with MedianPruner at full width, then NSGA-II over the winner's widths.

    The first phase gets half of the time.
    """
    clock = Clock(workers, horizon)
    plain = Plain(table, clock)
    rungs = table.grid.ladder.steps
    first = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner())
    second = optuna.create_study(directions=["maximize", "minimize"])

    def architecture(trial):
        name = trial.suggest_categorical("architecture", sorted(plain.widths))
        rung = trial.suggest_int("rung", 0, rungs - 1)

        def report(epoch, fbeta):
            trial.report(fbeta, epoch)
            if trial.should_prune():
                raise TrialPruned

        return plain.train(name, _default_width(plain.widths[name]), rung, report)[0]

    def width(trial):
        best = first.best_trial.params
        widths = len(plain.widths[best["architecture"]])
        return plain.train(best["architecture"], trial.suggest_int("width", 0, widths - 1), best["rung"])

    def work(index):
        one = optuna.load_study(
            study_name=first.study_name,
            storage=first._storage,
            sampler=optuna.samplers.TPESampler(seed=seed * 100 + index, constant_liar=True),
            pruner=first.pruner,
        )
        while clock.now < horizon / 2:
            one.optimize(architecture, n_trials=1)
        two = optuna.load_study(
            study_name=second.study_name,
            storage=second._storage,
            sampler=optuna.samplers.NSGAIISampler(seed=seed * 100 + index),
        )
        while True:
            two.optimize(width, n_trials=1)

    clock.run(work)
    return plain.shown


def original(table, seed, workers, horizon):
    """The original's procedure: a grid of learning rates at full width, then random widths of the best."""
    clock = Clock(workers, horizon)
    plain = Plain(table, clock)
    random = plain_random.Random(seed)
    names = sorted(plain.widths)
    random.shuffle(names)
    grid = list(itertools.product(names, range(table.grid.ladder.steps)))
    waiting, results = iter(grid), {}

    def work(_index):
        for name, rung in waiting:
            results[name, rung] = plain.train(name, _default_width(plain.widths[name]), rung)[0]
        while len(results) < len(grid):
            clock.sleep(1.0)
        name, rung = max(results, key=results.get)
        while True:
            plain.train(name, random.randrange(len(plain.widths[name])), rung)

    clock.run(work)
    return plain.shown


def moasha(table, seed, workers, horizon):
    """Syne Tune's MOASHA: random points, multi-objective successive halving over the epochs of one fold.

    Drawn by its scheduler, driven here; `pip install syne-tune` first.
    """
    from syne_tune.backend.trial_status import Trial as SyneTrial
    from syne_tune.config_space import choice, randint
    from syne_tune.optimizer.scheduler import SchedulerDecision
    from syne_tune.optimizer.schedulers.multiobjective.moasha import MOASHA

    np.random.seed(seed)  # noqa: NPY002  # its config space draws from the global generator
    clock = Clock(workers, horizon)
    plain = Plain(table, clock)
    epochs = len(next(iter(table.fits.values())).losses)
    widths = max(len(of) for of in plain.widths.values())
    scheduler = MOASHA(
        {
            "architecture": choice(sorted(plain.widths)),
            "width": randint(0, 10**6),
            "rung": randint(0, table.grid.ladder.steps - 1),
        },
        metrics=["error", "onnx_bytes"],
        time_attr="epoch",
        max_t=epochs,
        grace_period=1,
        reduction_factor=3,
        random_seed=seed,
    )
    numbers = itertools.count()
    assert widths < 10**6

    def work(_index):
        while True:
            config = scheduler.suggest().config
            trial = SyneTrial(trial_id=next(numbers), config=config, creation_time=None)
            scheduler.on_trial_add(trial)
            of = plain.widths[config["architecture"]]
            width = config["width"] % len(of)

            def report(epoch, fbeta, trial=trial, onnx_bytes=of[width].onnx_bytes):
                result = {"error": 1 - fbeta, "onnx_bytes": onnx_bytes, "epoch": epoch + 1}
                decision = scheduler.on_trial_result(trial, result)
                if decision != SchedulerDecision.CONTINUE and epoch + 1 < epochs:
                    raise TrialPruned

            with contextlib.suppress(TrialPruned):
                plain.train(config["architecture"], width, config["rung"], report)

    clock.run(work)
    return plain.shown


def _default_width(widths):
    """Return the position of the width that is nearest to the architectures' defaults, about 43 KB."""
    return min(range(len(widths)), key=lambda i: abs(np.log(widths[i].onnx_bytes / 43_000)))


SEARCHERS = {
    "ATML": atml,
    "Optuna, joint TPE": joint_tpe,
    "Optuna, joint TPE, all folds": joint_tpe_all_folds,
    "Optuna, joint NSGA-II": joint_nsga2,
    "Optuna, two phases": two_phases,
    "random": joint_random,
    "original": original,
    "Syne Tune, MOASHA": moasha,
}
