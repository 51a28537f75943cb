"""What a report says about a study, from its trials."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from atml.reports.html import words
from atml.reports.html.contents import ArchitectureRow, Cost, RuleRow, StudyPart, TrialRow
from atml.reports.html.rates import rate_points, rule_in_words
from atml.reports.looks import looks
from atml.service.stored import StoredStudy
from atml.tuning import records
from atml.tuning.outcome import Outcome, outcome
from atml.tuning.phases import Phase
from atml.tuning.records import PrunedBy
from atml.tuning.snapshot import Snapshot

MEANINGS = {
    PrunedBy.RACE.value: "unlikely to become the best of its size, so it was not trained on more folds",
    PrunedBy.PRUNER.value: "far behind trials of no larger networks at the same epoch of the first fold",
    PrunedBy.NEIGHBOURHOOD.value: "its learning rate is near one that did badly; it was not trained",
    PrunedBy.DIVERGED.value: "the loss became infinite or not a number",
    PrunedBy.STOPPED.value: "the search ended while it was trained",
    PrunedBy.BUDGET.value: "the budget was spent before it began",
    PrunedBy.DUPLICATE.value: "another trial was already training the same point",
    PrunedBy.ERROR.value: "an error that would occur again",
    "failed": "its process was interrupted or killed; such trials are queued again",
}


def study_part(stored: StoredStudy) -> StudyPart:
    """Read a study and return what a report says about it."""
    of = stored.snapshot()
    result = outcome(of)
    on_front = {trial.number for trial in result.front}
    rows = {trial.number: _row(trial, on_front) for trial in of.trials}
    trials, best = tuple(rows.values()), rows[result.best.number] if result.best else None
    return StudyPart(
        result=result,
        answer=_answer(best, of.phase),
        trials=trials,
        best=best,
        front=tuple(rows[trial.number] for trial in result.front),
        others=tuple(row for row in trials if row.folds and not row.is_on_front),
        sizes=tuple((one, rows[one.best.number]) for one in result.by_size),
        architectures=_architectures(stored, of, trials),
        rates=rate_points(stored, of.trials),
        rate_rule=rule_in_words(of.phase),
        rules=_rules(trials, result),
        cost=_cost(of),
        looks=tuple({**one, "directory": Path(one["directory"]).name} for one in looks(stored.study)),
        data={**asdict(stored.data), "directory": Path(stored.data.directory).name},
    )


def _row(trial: FrozenTrial, on_front: set[int]) -> TrialRow:
    known = records.estimate(trial)
    return TrialRow(
        number=trial.number,
        architecture=records.architecture(trial),
        onnx_bytes=trial.params.get(records.ONNX_BYTES, 0),
        parameters=records.parameters(trial),
        ram_bytes=records.footprint(trial).ram_bytes,
        learning_rate=records.learning_rate(trial) or 0.0,
        fbeta=records.fbeta(trial),
        standard_error=known.standard_error if known else None,
        folds=known.folds if known else 0,
        curve=tuple(records.curve(trial)),
        is_on_front=trial.number in on_front,
        is_finished=trial.state == TrialState.COMPLETE,
        rule=_rule(trial),
        reason=str(trial.user_attrs.get(records.PRUNED_BECAUSE, "")),
    )


def _answer(best: TrialRow | None, phase: Phase) -> str:
    if best is None:
        return "The search has not found a model yet."
    error = best.standard_error
    spread = "" if error is None else f" ± {error:.3f} (mean and standard error over the folds)"
    unit = words.unit(phase.targets.size_of)
    part = "" if best.is_finished else f", measured on {best.folds} of {phase.data.folds} folds"
    return (
        f"The best model is {best.architecture} with {best.onnx_bytes:,} {unit}: "
        f"F{phase.beta:g} {best.fbeta:.3f}{spread} on subjects it was not trained on{part}."
    )


def _architectures(
    stored: StoredStudy, of: Snapshot, trials: Sequence[TrialRow]
) -> tuple[ArchitectureRow, ...]:
    """Return the architectures of the grid, the best first."""
    rows = []
    for name in stored.grid.architectures:
        own = [row for row in trials if row.folds and row.architecture == name]
        best = max(own, key=lambda row: (row.is_finished, row.fbeta), default=None)
        rows.append(
            ArchitectureRow(
                name=name,
                points=sum(point.candidate.architecture == name for point in stored.grid.points),
                trained=sum(records.architecture(one) == name for one in records.trained(of.trials)),
                finished=sum(row.is_finished for row in own),
                best=best,
            )
        )
    return tuple(sorted(rows, key=_worth, reverse=True))


def _worth(row: ArchitectureRow) -> tuple[bool, float]:
    return (row.best.is_finished, row.best.fbeta) if row.best else (False, 0.0)


def _rule(trial: FrozenTrial) -> str | None:
    """Return what ended a trial early, if something did."""
    if trial.state == TrialState.PRUNED:
        return str(trial.user_attrs.get(records.PRUNED_BY, "unknown"))
    return "failed" if trial.state == TrialState.FAIL else None


def _rules(trials: Sequence[TrialRow], result: Outcome) -> tuple[RuleRow, ...]:
    minutes = {str(saving.by): saving.minutes for saving in result.savings}
    counts = Counter(row.rule for row in trials if row.rule)
    return tuple(
        RuleRow(rule=rule, meaning=MEANINGS.get(rule, ""), trials=count, minutes_saved=minutes.get(rule))
        for rule, count in counts.most_common()
    )


def _cost(of: Snapshot) -> Cost:
    workers = [worker for trial in of.trials if (worker := trial.user_attrs.get(records.WORKER))]
    seconds = [
        ((trial.datetime_complete or of.taken) - trial.datetime_start).total_seconds()
        for trial in of.trials
        if trial.datetime_start is not None and trial.state != TrialState.FAIL
    ]
    return Cost(
        worker_seconds=sum(seconds),
        workers=len({(one.get("host"), one.get("pid"), one.get("started")) for one in workers}),
        devices=tuple(sorted({str(one.get("device")) for one in workers})),
    )
