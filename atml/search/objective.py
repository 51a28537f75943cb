"""The objective of every phase: one trial, from its suggestion to its recorded result."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import torch
from numpy.typing import NDArray
from optuna import Study, Trial, TrialPruned
from optuna.trial import FrozenTrial, TrialState

from atml.ecg import Split
from atml.errors import CannotWrite, TrainingDiverged
from atml.evaluation import Metrics, evaluate, fbeta
from atml.export import check_parity, to_onnx
from atml.search import failures, records, stop
from atml.search.budget import active_seconds, may_train, out_of_time
from atml.search.checkpoints import Checkpoint, Checkpoints
from atml.search.phases import Phase
from atml.search.processes import this_process
from atml.search.proposal import Proposal
from atml.search.records import PrunedBy
from atml.search.retry import queue_again
from atml.search.sampler import as_point
from atml.search.sizes import onnx_metadata, size_before_training
from atml.training import Epoch, predict, train

Scores = NDArray[np.float32]  # [n] P(AFIB)

PARITY_SEGMENTS = 64
GIVE_WAY_SECONDS = 2.0
RULED_OUT = 1e9  # a constraint this large keeps TPE away where PRUNED alone would draw it


class TrialInterrupted(Exception):
    """This worker was asked to leave; the trial is queued again and counts as if never begun."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """Trains one candidate a call; pass it to `Study.optimize`.

    Args:
        phase: Spec and rules of the study.
        study: The study itself; the pruner and the stop sign are read from it.
        split: Train and validation segments; they share no subject.
        device: Where to train.
        asked_to_leave: Whether this process has been told to stop.
        keep: Called with the exported ONNX model and the metrics of every completed trial.
        checkpoints: Where each epoch is kept, so that another worker can go on from it.
    """

    phase: Phase
    study: Study
    split: Split
    device: torch.device
    asked_to_leave: Callable[[], bool] = lambda: False
    keep: Callable[[Trial, bytes, Metrics], None] = lambda trial, model, metrics: None
    checkpoints: Checkpoints | None = None

    def __call__(self, trial: Trial) -> float | tuple[float, ...]:
        """Run `trial` to its end.

        Raises:
            TrialPruned: a rule or an error that would recur ended it; who and why is recorded on the trial.
            TrialInterrupted: the worker was asked to leave; the trial is queued again.
            CannotWrite: a disk took no checkpoint, model or record; the trial is queued again.
        """
        worker = {**this_process().to_dict(), "device": str(self.device)}
        trial.set_user_attr(records.WORKER, worker)
        try:
            values = self._run(trial, self.phase.suggest(trial))
        except (TrialInterrupted, KeyboardInterrupt, CannotWrite):
            queue_again(self.study, trial)
            raise
        except TrialPruned:
            self._forget(trial)
            raise
        except Exception as error:
            if not failures.will_recur(error):
                raise
            failures.log(trial.number, error)
            self._forget(trial)
            raise self._pruned(trial, PrunedBy.ERROR, failures.in_words(error)) from error
        self._forget(trial)
        return values

    def _run(self, trial: Trial, proposal: Proposal) -> float | tuple[float, ...]:
        onnx_bytes = self._record_proposal(trial, proposal)
        begun = self._checkpoint(trial)
        self._refuse_untrained(trial, onnx_bytes, begun=begun is not None)
        network = proposal.build(self.split.train.segment_length, seed=self.phase.seed)
        try:
            scores = self._train(trial, network, proposal, begun)
        except TrainingDiverged as error:
            # Every figure that the neighbourhood rule may ask for: nothing does worse than this.
            trial.set_user_attr(records.METRICS, dict.fromkeys(records.RECORDED_METRICS, 0.0))
            raise self._pruned(trial, PrunedBy.DIVERGED, str(error)) from None
        model = self._export(trial, network, proposal)  # a model that cannot be exported has no metrics
        metrics = self._record_metrics(trial, scores)
        best = max(point.fbeta for point in records.curve(trial))
        self._set_target_constraints(trial, best, onnx_bytes)
        self.keep(trial, model, metrics)
        return self.phase.values(best, onnx_bytes)

    def _record_proposal(self, trial: Trial, proposal: Proposal) -> int:
        onnx_bytes, parameters = size_before_training(proposal, self.split.train.segment_length)
        facts = {
            records.ARCHITECTURE: proposal.architecture.name,
            records.LEARNING_RATE: proposal.learning_rate,
            records.CONFIG: proposal.architecture.config_to_dict(proposal.config),
            records.PARAMETERS: parameters,
            records.ONNX_BYTES: onnx_bytes,
        }
        for name, value in facts.items():
            trial.set_user_attr(name, value)
        return onnx_bytes

    def _refuse_untrained(self, trial: Trial, onnx_bytes: int, *, begun: bool) -> None:
        """Prune `trial` if a rule speaks against it before its first epoch, or before it goes on."""
        trials = self.study.get_trials(deepcopy=False)
        if not may_train(self.phase.budget, trials, trial.number):
            raise self._pruned(trial, PrunedBy.BUDGET, "other workers took the last trials of the budget")
        twin = self._twin(trial, trials)
        if twin is not None:
            raise self._pruned(trial, PrunedBy.DUPLICATE, f"trial {twin} has the same parameters")
        limit = self.phase.pruning.max_onnx_bytes
        if limit is not None and onnx_bytes > limit:
            raise self._pruned(trial, PrunedBy.SIZE, f"{onnx_bytes} ONNX bytes exceed the cap of {limit}")
        neighbour = self.phase.pruner().bad_neighbour(trials, trials[trial.number])
        if neighbour is not None and not begun:
            raise self._pruned(trial, PrunedBy.NEIGHBOURHOOD, str(neighbour))

    def _twin(self, trial: Trial, trials: list[FrozenTrial]) -> int | None:
        """Return another live trial at the same point: two workers may draw one in the same instant.

        The later of the two gives way, unless it looked before the earlier had written its parameters.
        So the earlier waits a moment to see whether the later does, and else gives way itself.
        """
        due = time.monotonic() + GIVE_WAY_SECONDS
        while twins := self._live_at(trial, trials):
            if twins[0] < trial.number or time.monotonic() > due:
                return twins[0]
            time.sleep(GIVE_WAY_SECONDS / 20)
            trials = self.study.get_trials(deepcopy=False)
        return None

    @staticmethod
    def _live_at(trial: Trial, trials: list[FrozenTrial]) -> list[int]:
        """Return the other trials at this trial's point that were not interrupted and did not give way."""
        own = as_point(trial.params)
        return [
            other.number
            for other in trials
            if as_point(other.params) == own
            and other.number != trial.number
            and other.state != TrialState.FAIL
            and not records.gave_way(other)
            and not _is_retried_by(trial, other)
        ]

    def _train(
        self, trial: Trial, network: torch.nn.Module, proposal: Proposal, begun: Checkpoint | None
    ) -> Scores:
        """Train to the end or until a rule says stop, and return the validation scores of the best epoch."""
        settings = replace(self.phase.training, learning_rate=proposal.learning_rate, seed=self.phase.seed)
        labels = self.split.valid.labels

        def criterion(scores: Scores) -> float:
            return fbeta(labels, scores, threshold=self.phase.decision_threshold, beta=self.phase.beta)

        curve = self._tell_again(trial, begun)
        scores: Scores | None = None
        resume = begun.state if begun else None
        for epoch in train(
            network, self.split, settings, device=self.device, criterion=criterion, resume=resume
        ):
            curve.append(
                records.CurvePoint(
                    train_loss=epoch.train_loss,
                    valid_loss=epoch.valid_loss or 0.0,
                    fbeta=epoch.criterion,
                    seconds=epoch.seconds,
                )
            )
            trial.set_user_attr(records.CURVE, [point.to_list() for point in curve])
            self.phase.report(trial, epoch.criterion, epoch.index)
            scores = epoch.valid_scores if epoch.best else scores
            if epoch.index + 1 < settings.epochs:
                self._save(trial, epoch, curve)
                self._leave_early(trial, epoch.valid_scores if scores is None else scores)
        # None: the best epoch was trained before an interruption. The network has its weights.
        return predict(network, self.split.valid, device=self.device) if scores is None else scores

    def _checkpoint(self, trial: Trial) -> Checkpoint | None:
        """Return what an earlier try of `trial` left, if it was cut short."""
        if self.checkpoints is None or records.RETRY_OF not in trial.user_attrs:
            return None
        return self.checkpoints.load(records.first_number(trial))

    def _tell_again(self, trial: Trial, begun: Checkpoint | None) -> list[records.CurvePoint]:
        """Give `trial` the epochs of the try that it goes on from, and return them."""
        curve = list(begun.curve) if begun else []
        for index, point in enumerate(curve):
            self.phase.report(trial, point.fbeta, index)
        if curve:
            trial.set_user_attr(records.CURVE, [point.to_list() for point in curve])
        return curve

    def _save(self, trial: Trial, epoch: Epoch, curve: list[records.CurvePoint]) -> None:
        if self.checkpoints is not None:
            self.checkpoints.save(
                records.first_number(trial), Checkpoint(state=epoch.state(), curve=list(curve))
            )

    def _forget(self, trial: Trial) -> None:
        if self.checkpoints is not None:
            self.checkpoints.drop(records.first_number(trial))

    def _leave_early(self, trial: Trial, scores: Scores) -> None:
        """End the trial after an epoch if this worker, the study or the pruner says so."""
        if self.asked_to_leave():
            raise TrialInterrupted
        reason = self._study_is_over()
        if reason:
            self._record_metrics(trial, scores)
            raise self._pruned(trial, PrunedBy.STOPPED, reason)
        if self.phase.should_prune(self.study, trial.number):
            self._record_metrics(trial, scores)
            raise self._pruned(trial, PrunedBy.PRUNER, "among the worst of comparable trials at this epoch")

    def _study_is_over(self) -> str | None:
        sign = stop.read(self.study)
        if sign is not None and sign.by is stop.StoppedBy.USER:
            raise TrialInterrupted
        if sign is not None:
            return sign.because
        trials = self.study.get_trials(deepcopy=False)
        return out_of_time(self.phase.budget, active_seconds(trials, datetime.now()))

    def _record_metrics(self, trial: Trial, scores: Scores) -> Metrics:
        valid = self.split.valid
        metrics = evaluate(
            valid.labels,
            scores,
            valid.subjects,
            valid.rhythms,
            threshold=self.phase.decision_threshold,
            beta=self.phase.beta,
            bootstrap=0,
        )
        trial.set_user_attr(records.METRICS, records.metrics_record(metrics))
        return metrics

    def _set_target_constraints(self, trial: Trial, fbeta: float, onnx_bytes: int) -> None:
        """Tell the sampler how far from the targets this trial is: 0 or less is met."""
        targets = self.phase.targets
        if len(self.phase.directions) == 1:
            return
        if targets.fbeta:
            trial.set_constraint("fbeta", (targets.fbeta - fbeta) / targets.fbeta)
        if targets.onnx_bytes:
            trial.set_constraint("onnx_bytes", onnx_bytes / targets.onnx_bytes - 1)

    def _export(self, trial: Trial, network: torch.nn.Module, proposal: Proposal) -> bytes:
        network.cpu()
        metadata = onnx_metadata(proposal, study=self.study.study_name, trial=trial.number)
        model = to_onnx(network, segment_length=self.split.valid.segment_length, metadata=metadata)
        some = self.split.valid.samples(np.arange(min(PARITY_SEGMENTS, len(self.split.valid))))
        check_parity(network, model, some)
        return model

    def _pruned(self, trial: Trial, by: PrunedBy, because: str) -> TrialPruned:
        trial.set_user_attr(records.PRUNED_BY, by.value)
        trial.set_user_attr(records.PRUNED_BECAUSE, because)
        if len(self.phase.directions) > 1:
            trial.set_constraint(by.value, RULED_OUT)
        return TrialPruned(f"{by.value}: {because}")


def _is_retried_by(trial: Trial, other: FrozenTrial) -> bool:
    """Whether `trial` takes up `other`, which is queued again a moment before it is closed."""
    original = trial.user_attrs.get(records.RETRY_OF)
    if original is None or other.state != TrialState.RUNNING:
        return False
    return bool(other.user_attrs.get(records.RETRY_OF, other.number) == original)
