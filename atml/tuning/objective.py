"""The objective of every phase: runs one trial from suggestion to recorded result."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from optuna import Study, Trial, TrialPruned
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from atml.errors import CannotWrite, TrainingDiverged
from atml.evaluation import FoldCounts, Metrics, estimate, metrics_of_folds
from atml.pruners import should_prune
from atml.tuning import failures, records, stop
from atml.tuning.budget import active_seconds, first_to_finish, may_train, out_of_time
from atml.tuning.checkpoints import Checkpoint, Checkpoints
from atml.tuning.fit import FittedEpoch, FoldFit, Trainer
from atml.tuning.grid import Grid, Point, key_of, point_of
from atml.tuning.phases import Phase, parse_spec
from atml.tuning.processes import this_process
from atml.tuning.proposal import Proposal
from atml.tuning.records import CurvePoint, PrunedBy
from atml.tuning.retry import MOST_DEATHS, deaths_of
from atml.tuning.sizes import onnx_metadata
from atml.tuning.times import now
from atml.words import error_in_words

_logger = logging.getLogger(__name__)


class TrialInterrupted(Exception):
    """This worker was asked to leave; the trial is to be queued again and does not count."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """Trains one candidate per call, fold by fold while it may lead; a worker calls it for each trial.

    Args:
        phase: Spec and rules of the study.
        study: The study; the pruner and the stop request are read from it.
        grid: The study's points.
        trainer: Trains a candidate on a fold.
        device: Name of the device.
        asked_to_leave: Whether this process was asked to stop.
        keep: Called with the exported ONNX model and the metrics of every completed trial.
        checkpoints: Where each epoch is saved, so that another worker can continue from it.
    """

    phase: Phase
    study: Study
    grid: Grid
    trainer: Trainer
    device: str = "cpu"
    asked_to_leave: Callable[[], bool] = lambda: False
    keep: Callable[[Trial, bytes, Metrics], None] = lambda trial, model, metrics: None
    checkpoints: Checkpoints | None = None

    def __call__(self, trial: Trial) -> tuple[float, ...]:
        """Run `trial` to its end. After any error but TrialPruned it is to be queued again.

        Raises:
            TrialPruned: a rule or an error that would recur ended it; the reason is recorded on the trial.
            TrialInterrupted: the worker was asked to leave.
            CannotWrite: a checkpoint, model or record could not be written.
            Exception: an error that may not occur another time.
        """
        try:
            worker = {**this_process().to_dict(), "device": self.device}
            trial.set_user_attr(records.WORKER, worker)
            values = self._run(trial, self.grid.suggest(trial))
        except TrialPruned:
            self._forget(trial)
            raise
        except (TrialInterrupted, CannotWrite, UpdateFinishedTrialError):  # the last: others closed the trial
            raise
        except Exception as error:
            if not failures.will_recur(error) and deaths_of(trial) <= MOST_DEATHS:
                raise
            _logger.error("trial %d ended with an error", trial.number, exc_info=error)
            self._forget(trial)
            raise _pruned(trial, PrunedBy.ERROR, error_in_words(error)) from error
        self._forget(trial)
        return values

    def _run(self, trial: Trial, point: Point) -> tuple[float, ...]:
        proposal = point.proposal()
        trial.set_user_attr(records.NETWORK, point.network())
        begun = self._checkpoint(trial, proposal)
        trials = self.study.get_trials(deepcopy=False)
        folds = _known_folds(trial, trials)
        self._refuse_untrained(trial, trials, begun=begun is not None or bool(folds))
        if folds:
            self._record_folds(trial, folds)
        fit = None
        for fold in range(len(folds), self.phase.data.folds):
            if fit is not None:  # the sampler has just chosen the first one
                self._leave_race(trial, point)
            fit = self._train(trial, proposal, fold, begun if begun and begun.fold == fold else None)
            folds[fold] = fit.counts()
            self._record_folds(trial, folds)
        if fit is None:  # a worker died after the last fold was recorded
            fit = self._train(trial, proposal, self.phase.data.folds - 1, None)
        known = estimate(list(folds.values()), beta=self.phase.beta)
        model = fit.onnx(onnx_metadata(proposal, threshold=known.threshold))
        metrics = metrics_of_folds(list(folds.values()), threshold=known.threshold, beta=self.phase.beta)
        self.keep(trial, model, metrics)
        return self.phase.values(known.fbeta, point.candidate.onnx_bytes)

    def _record_folds(self, trial: Trial, folds: dict[int, FoldCounts]) -> None:
        counts = list(folds.values())
        known = estimate(counts, beta=self.phase.beta)
        metrics = metrics_of_folds(counts, threshold=known.threshold, beta=self.phase.beta)
        trial.set_user_attr(records.RESULT, records.result_record(known, metrics, folds))

    def _refuse_untrained(self, trial: Trial, trials: list[FrozenTrial], *, begun: bool) -> None:
        """Prune `trial` if a rule excludes it before its first epoch, or before it continues."""
        if not may_train(self.phase.budget, trials, trial.number):
            raise _pruned(trial, PrunedBy.BUDGET, "other workers took the last trials of the budget")
        twin = _twin(trial, trials)
        if twin is not None:
            raise _pruned(trial, PrunedBy.DUPLICATE, f"trial {twin} has the same parameters")
        pruner = self.phase.pruner()
        neighbour = pruner.bad_neighbour(trials, trials[trial.number])
        if neighbour is not None and not begun:
            raise _pruned(trial, PrunedBy.NEIGHBOURHOOD, pruner.in_words(neighbour))

    def _train(self, trial: Trial, proposal: Proposal, fold: int, begun: Checkpoint | None) -> FoldFit:
        """Train on one fold to the end, or until a rule ends the trial."""
        curve = list(begun.curve) if begun else records.curve(trial)
        if begun:
            self._replay(trial, curve)
        fit = self.trainer.fold(proposal, fold, resume=begun.state if begun else None)
        epochs = self.phase.training.epochs
        try:
            for epoch in fit.epochs():
                curve.append(epoch.point)
                trial.set_user_attr(records.CURVE, [point.to_list() for point in curve])
                if len(self.phase.directions) == 1:  # Optuna refuses reports with two objectives
                    trial.report(epoch.point.fbeta, len(curve) - 1)
                if sum(point.fold == fold for point in curve) < epochs:
                    self._save(trial, proposal, epoch, curve)
                    self._leave_early(trial, fold)
        except TrainingDiverged as error:
            raise _pruned(trial, PrunedBy.DIVERGED, str(error)) from None
        return fit

    def _replay(self, trial: Trial, curve: list[CurvePoint]) -> None:
        """Copy to `trial` the epochs of the attempt that it continues."""
        trial.set_user_attr(records.CURVE, [point.to_list() for point in curve])
        if len(self.phase.directions) == 1:
            for step, point in enumerate(curve):
                trial.report(point.fbeta, step)

    def _checkpoint(self, trial: Trial, proposal: Proposal) -> Checkpoint | None:
        """Return the checkpoint of an interrupted earlier attempt of `trial`, if there is one."""
        if self.checkpoints is None or records.RETRY_OF not in trial.user_attrs:
            return None
        return self.checkpoints.load(records.first_number(trial), self.trainer.key(proposal))

    def _save(self, trial: Trial, proposal: Proposal, epoch: FittedEpoch, curve: list[CurvePoint]) -> None:
        if self.checkpoints is not None:
            of, fold = self.trainer.key(proposal), epoch.point.fold
            checkpoint = Checkpoint(of=of, fold=fold, state=epoch.state(), curve=list(curve))
            self.checkpoints.save(records.first_number(trial), checkpoint)

    def _forget(self, trial: Trial) -> None:
        if self.checkpoints is not None:
            self.checkpoints.drop(records.first_number(trial))

    def _leave_early(self, trial: Trial, fold: int) -> None:
        """End the trial between two epochs if this worker, the study or the pruner requires it."""
        if self._leave_if_over(trial):
            return
        if fold == 0 and should_prune(trial):  # on further folds the race decides
            raise _pruned(trial, PrunedBy.PRUNER, "among the worst of the no larger trials at this epoch")

    def _leave_race(self, trial: Trial, point: Point) -> None:
        """End the trial between two folds if this worker or the study requires it, or if it cannot lead."""
        if self._leave_if_over(trial):
            return
        standings = self.phase.standings(self.grid, self.study.get_trials(deepcopy=False))
        race = self.phase.race()
        at = self.grid.index[point.key]
        chance = race.chance_of(standings, at)
        if chance < race.chance and not race.leads(standings, at):
            limit = race.limit_for(point.candidate.onnx_bytes)
            because = f"its chance of being the best within {limit} bytes is {chance:.2f}"
            raise _pruned(trial, PrunedBy.RACE, because)

    def _leave_if_over(self, trial: Trial) -> bool:
        """End the trial if the study is over; return whether it has to finish beyond the study's time."""
        if self.asked_to_leave():
            raise TrialInterrupted
        sign = stop.read(self.study)
        if sign is not None and sign.by is stop.StoppedBy.USER:
            raise TrialInterrupted
        if sign is not None:
            raise _pruned(trial, PrunedBy.STOPPED, sign.because)
        trials = self.study.get_trials(deepcopy=False)
        seconds = active_seconds(trials, now())
        reason = out_of_time(self.phase.budget, seconds)
        stored = self.study.user_attrs.get(records.SPEC) if reason else None
        if stored is not None:  # the study may have been extended since this worker read its spec
            reason = out_of_time(parse_spec(stored, source=self.study.study_name).budget, seconds)
        if reason and first_to_finish(trials) != trial.number:
            raise _pruned(trial, PrunedBy.STOPPED, reason)
        return reason is not None


def _twin(trial: Trial, trials: list[FrozenTrial]) -> int | None:
    """Return an earlier trial at the same point that was not interrupted and did not yield.

    Two workers may draw a point at the same time. Since a trial has its parameters from the moment that it
    has its number, the later of two always sees the earlier.
    """
    own = key_of(trial.params)
    for other in trials[: trial.number]:
        if point_of(other) == own and other.state != TrialState.FAIL and not records.released_point(other):
            return other.number
    return None


def _known_folds(trial: Trial, trials: list[FrozenTrial]) -> dict[int, FoldCounts]:
    """Return the folds on which any earlier trial trained this trial's point."""
    own = key_of(trial.params)
    others = (one for one in trials if one.number != trial.number and key_of(one.params) == own)
    return max((records.folds(one) for one in others), key=len, default={})


def _pruned(trial: Trial, by: PrunedBy, because: str) -> TrialPruned:
    trial.set_user_attr(records.PRUNED_BY, by.value)
    trial.set_user_attr(records.PRUNED_BECAUSE, because)
    return TrialPruned(f"{by.value}: {because}")
