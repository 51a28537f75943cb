"""The result of a study: the winner, the front, missed targets and what to relax."""

import math
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from optuna.trial import FrozenTrial, TrialState

from atml.tuning import failures, records
from atml.tuning.budget import Spent, spent
from atml.tuning.grid import point_of
from atml.tuning.phases import Phase
from atml.tuning.ranking import best_within, contenders, front
from atml.tuning.records import PrunedBy
from atml.tuning.snapshot import Snapshot
from atml.tuning.spec import TargetsSpec
from atml.tuning.stop import Stop, StoppedBy
from atml.words import counted, kilobytes

Ending = Literal[PrunedBy.PRUNER, PrunedBy.RACE]  # rules that end a trial in training


@dataclass(frozen=True, kw_only=True)
class Saving:
    """Trials that one rule ended early, and the training time saved.

    The minutes are those of the rest of the fold, or of the other folds, at the trial's speed. What a later
    trial at the same point has trained is not saved.
    """

    by: Ending  #: The rule: `pruner` in the first fold, `race` after a fold.
    trials: int  #: Number of trials.
    minutes: float  #: Training time that was saved, estimated from each trial's speed.


@dataclass(frozen=True, kw_only=True)
class SizeResult:
    """The best model within one of the requested sizes."""

    limit: int  # bytes
    best: FrozenTrial
    gained: float | None  # F-beta gained in the second half of the trials; None if none finished before


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What there is to say about a study besides its trials."""

    study: str  #: Name of the study.
    spent: Spent  #: What the study has used so far.
    #: Number of pruned trials by rule: `budget`, `duplicate`, `neighbourhood`, `pruner`, `race`, `diverged`,
    #: `stopped` or `error`.
    pruned: dict[str, int]
    failed: int  #: Trials that were interrupted; they are queued again.
    savings: tuple[Saving, ...]  #: Training time that the rules saved.
    unfinished: tuple[str, ...]  #: Architectures without a trial in `ranking`.
    #: Whether the best trial meets all targets by its figures in the search; false if none is set.
    targets_met: bool
    failed_targets: tuple[str, ...]  #: Targets that the best trial misses by its figures in the search.
    advice: tuple[str, ...]  #: What to relax so that the targets can be met.
    all_afib_fbeta: float  #: F-beta of calling every segment AFIB, for comparison.


@dataclass(frozen=True, kw_only=True)
class Outcome(Summary):
    """A study's result so far."""

    phase: Phase  # with the spec
    errors: tuple[FrozenTrial, ...]  # trials that an error ended, oldest first
    ranking: tuple[FrozenTrial, ...]  # as `Phase.rank` orders them, best first
    front: tuple[FrozenTrial, ...]  # not beaten in both F-beta and size, smallest first
    by_size: tuple[SizeResult, ...]  # smallest first; sizes without a model are omitted
    stop: Stop | None

    @property
    def best(self) -> FrozenTrial | None:
        """The trial that the phase ranks first."""
        return self.ranking[0] if self.ranking else None

    @property
    def best_of_each(self) -> list[FrozenTrial]:
        """The best ranked trial of each architecture, in the ranking's order."""
        seen: dict[str, FrozenTrial] = {}
        for trial in self.ranking:
            seen.setdefault(records.architecture(trial), trial)
        return list(seen.values())


def outcome(of: Snapshot) -> Outcome:
    """Compute a study's result from its trials."""
    phase, trials = of.phase, of.trials
    ranking = tuple(phase.rank(trials))
    best = ranking[0] if ranking else None
    failed_targets = phase.failed_targets(best) if best else ()
    return Outcome(
        study=of.study,
        phase=phase,
        spent=spent(trials, of.taken),
        pruned=dict(_pruned_by(trials)),
        errors=tuple(failures.ended_by_error(trials)),
        failed=sum(trial.state == TrialState.FAIL for trial in trials),
        savings=_savings(trials, phase),
        ranking=ranking,
        unfinished=_unfinished(trials, ranking),
        front=tuple(one.trial for one in front(contenders(trials))),
        by_size=_by_size(trials, phase),
        stop=of.stop,
        targets_met=best is not None and phase.meets_targets(best),
        failed_targets=failed_targets,
        advice=tuple(_advice(phase, best, failed_targets, trials, of.stop)),
        all_afib_fbeta=of.all_afib_fbeta,
    )


def answer(of: Outcome) -> list[str]:
    """Return the best trial and whether it meets the targets in one line, then what to relax, a line each."""
    best, targets, wanted = of.best, of.phase.targets, of.phase.targets.in_words()
    over = of.stop is not None and of.stop.by is not StoppedBy.USER
    state = "met" if of.targets_met else "missed" if over else "not met yet"
    judged = f"targets {state} in the search ({wanted})" if wanted else "no targets are set"
    if best is None:
        return [f"no model{'' if over else ' yet'}; {judged}", *of.advice]
    figures = f"F-beta {records.fbeta(best):.4f} and {kilobytes(records.onnx_bytes(best))}"
    what = f"trial {best.number} with {figures}"
    if not wanted:
        return [f"best {'is' if over else 'so far is'} {what}; {judged}"]
    if of.targets_met:
        return [f"{judged}: {what}{_to_spare(best, targets)}"]
    missed = ", ".join(of.failed_targets) or "no trial has finished the race"
    return [f"{judged}: {missed}; nearest is {what}", *(f"to relax: {line}" for line in of.advice if over)]


def _to_spare(best: FrozenTrial, targets: TargetsSpec) -> str:
    """Return by how much a trial exceeds the targets."""
    spare = []
    if targets.fbeta is not None:
        spare.append(f"{records.fbeta(best) - targets.fbeta:.4f}")
    if targets.onnx_bytes is not None:
        spare.append(kilobytes(targets.onnx_bytes - records.onnx_bytes(best)))
    return f"; {' and '.join(spare)} to spare"


def verdict(phase: Phase, trial: FrozenTrial) -> str:
    """Return in a few words whether a trial meets the targets."""
    if not phase.targets.in_words():
        return "–"
    if failed := phase.failed_targets(trial):
        return f"misses {', '.join(failed)}"
    return "met" if phase.meets_targets(trial) else "not on all folds yet"


def _unfinished(trials: list[FrozenTrial], ranking: tuple[FrozenTrial, ...]) -> tuple[str, ...]:
    tried = {records.architecture(trial) for trial in trials}
    return tuple(sorted(tried - {records.architecture(trial) for trial in ranking} - {""}))


def _by_size(trials: list[FrozenTrial], phase: Phase) -> tuple[SizeResult, ...]:
    ended = sorted(records.trained(trials), key=lambda trial: trial.datetime_complete or datetime.max)
    before, after = contenders(records.completed(ended[: len(ended) // 2])), contenders(trials)
    found = []
    for limit in sorted(phase.search.sizes):
        earlier, best = best_within(before, limit), best_within(after, limit)
        if best is not None:
            gained = best.fbeta - earlier.fbeta if earlier else None
            found.append(SizeResult(limit=limit, best=best.trial, gained=gained))
    return tuple(found)


def _pruned_by(trials: list[FrozenTrial]) -> Counter[str]:
    pruned = (trial for trial in trials if trial.state == TrialState.PRUNED)
    return Counter(str(trial.user_attrs.get(records.PRUNED_BY)) for trial in pruned)


def _savings(trials: list[FrozenTrial], phase: Phase) -> tuple[Saving, ...]:
    """Compute the time saved by each rule that ends trials early."""
    last = {point_of(trial): trial.number for trial in records.trained(trials)}
    found = []
    for rule in get_args(Ending):
        ended = [trial for trial in trials if trial.user_attrs.get(records.PRUNED_BY) == rule]
        seconds = sum(_seconds_spared(one, phase) for one in ended if last.get(point_of(one)) == one.number)
        found.append(Saving(by=rule, trials=len(ended), minutes=seconds / 60))
    return tuple(found)


def _seconds_spared(trial: FrozenTrial, phase: Phase) -> float:
    """Time that the rest of the fold, or the other folds, would have taken."""
    curve = records.curve(trial)
    if not curve:
        return 0.0
    known = records.estimate(trial)
    epochs, folds = phase.training.epochs, phase.data.folds
    left = epochs - len(curve) if known is None else (folds - known.folds) * epochs
    return records.training_seconds(trial) / len(curve) * max(0, left)


def _advice(
    phase: Phase,
    best: FrozenTrial | None,
    failed_targets: tuple[str, ...],
    trials: list[FrozenTrial],
    sign: Stop | None,
) -> list[str]:
    """Suggest what to relax so that the study can succeed."""
    if best is None:
        return _advice_without_a_model(trials)
    advice = []
    completed = records.completed(trials)
    within = [t for t in completed if records.onnx_bytes(t) <= (phase.targets.onnx_bytes or 0)]
    if "fbeta" in failed_targets and completed:
        top = max(records.fbeta(t) for t in within or completed)
        where = " within the size target" if within else ""
        # A shipped model is judged again, and the best of many figures is rarely reached then.
        lower = f"lower targets.fbeta to {math.floor(top * 1000) / 1000} or less"
        advice.append(f"the search's best F-beta{where} is {top:.4f}: {lower}")
    if "fbeta" in failed_targets and phase.targets.onnx_bytes:
        good = [t for t in completed if records.fbeta(t) >= (phase.targets.fbeta or 0)]
        if good:
            size = min(records.onnx_bytes(t) for t in good)
            advice.append(f"or raise targets.onnx_bytes to {size}, where F-beta is reached")
    if "onnx_bytes" in failed_targets:
        advice.append(f"raise targets.onnx_bytes to {records.onnx_bytes(best)}, or add smaller search.sizes")
    if failed_targets:
        more = "give the study more time: raise budget.trials or budget.minutes, and add --extend"
        if sign is not None and sign.by is StoppedBy.SPACE:
            more = "add search.sizes, search.shapes, learning rates or architectures, in a new study"
        advice.append(f"or {more}" if advice else more)
    return advice


def _advice_without_a_model(trials: list[FrozenTrial]) -> list[str]:
    rules = _pruned_by(trials)
    if not rules:
        return ["no trial has finished yet"]
    remedy = {
        PrunedBy.NEIGHBOURHOOD.value: "lower pruning.neighbourhood.threshold or its radius",
        PrunedBy.DIVERGED.value: "lower the learning rates",
        PrunedBy.STOPPED.value: "raise budget.minutes, and add --extend to the same command",
    }
    rule, count = rules.most_common(1)[0]
    if rule == PrunedBy.ERROR:
        first = failures.reason_of(failures.ended_by_error(trials)[0])
        ended = f"{counted(count, 'trial')} ended with an error, the first with {first}"
        return [f"no trial ran to its end; {ended}"]
    pruned = f"{counted(count, 'trial')} pruned by {rule}"
    return [f"no trial ran to its end; {pruned}: {remedy.get(rule, 'widen the search')}"]
