"""What a report says about a study, from its trials."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from atml.reports.html.contents import (
    ArchitectureRow,
    Cost,
    Curve,
    EndedTrial,
    Look,
    RuleRow,
    SizeRow,
    StudyPart,
    TrialRow,
)
from atml.reports.html.rates import rate_points, rule_in_words
from atml.reports.html.targets import SIZES
from atml.reports.looks import looks
from atml.service.stored import StoredStudy
from atml.tuning import records
from atml.tuning.outcome import Outcome, outcome
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
    phase = of.phase
    on_front = {trial.number for trial in result.front}
    trained = [_row(trial, on_front) for trial in of.trials if records.estimate(trial) is not None]
    return StudyPart(
        name=of.study,
        phase=phase.phase,
        beta=phase.beta,
        answer=_answer(result),
        best_fbeta=records.fbeta(result.best) if result.best else None,
        best_bytes=records.onnx_bytes(result.best) if result.best else None,
        advice=result.advice if result.failed_targets or result.best is None else (),
        ended=result.stop.because if result.stop else None,
        best=result.best.number if result.best else None,
        front=tuple(row for trial in result.front for row in trained if row.number == trial.number),
        others=tuple(row for row in trained if not row.is_on_front),
        onnx_bytes_target=phase.targets.onnx_bytes,
        fbeta_target=phase.targets.fbeta,
        sizes=tuple(
            SizeRow(limit=one.limit, best=_row(one.best, on_front), gained=one.gained)
            for one in result.by_size
        ),
        size_name=SIZES[phase.targets.size_of],
        size_classes=tuple(sorted(phase.search.sizes)),
        architectures=_architectures(stored, of, trained),
        rates=rate_points(stored, of.trials),
        rate_rule=rule_in_words(phase),
        curves=tuple(_curve(trial, on_front) for trial in of.trials if records.curve(trial)),
        rules=_rules(of.trials, result),
        ended_early=tuple(_ended(trial) for trial in of.trials if _rule(trial) is not None),
        cost=_cost(of, result),
        looks=tuple(_look(one) for one in looks(stored.study)),
        data={**asdict(stored.data), "directory": Path(stored.data.directory).name},
        spec=phase.stored(),
    )


def _row(trial: FrozenTrial, on_front: set[int]) -> TrialRow:
    known = records.estimate(trial)
    return TrialRow(
        number=trial.number,
        architecture=records.architecture(trial),
        onnx_bytes=records.onnx_bytes(trial),
        parameters=records.parameters(trial),
        ram_bytes=records.footprint(trial).ram_bytes,
        learning_rate=records.learning_rate(trial) or 0.0,
        fbeta=records.fbeta(trial),
        standard_error=known.standard_error if known else None,
        folds=known.folds if known else 0,
        is_on_front=trial.number in on_front,
        is_finished=trial.state == TrialState.COMPLETE,
    )


def _answer(result: Outcome) -> str:
    best = result.best
    if best is None:
        return "The search has not found a model yet."
    known = records.estimate(best)
    error = known.standard_error if known else None
    spread = "" if error is None else f" ± {error:.3f} (mean and standard error over the folds)"
    return (
        f"The best model is {records.architecture(best)} with {records.onnx_bytes(best):,} bytes: "
        f"F{result.phase.beta:g} {records.fbeta(best):.3f}{spread} on subjects it was not trained on."
    )


def _architectures(
    stored: StoredStudy, of: Snapshot, trained: Sequence[TrialRow]
) -> tuple[ArchitectureRow, ...]:
    """Return the architectures of the grid, the best first."""
    rows = []
    for name in stored.grid.architectures:
        own = [row for row in trained if row.architecture == name]
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


def _curve(trial: FrozenTrial, on_front: set[int]) -> Curve:
    points = records.curve(trial)
    folds = [[point for point in points if point.fold == fold] for fold in sorted({p.fold for p in points})]
    return Curve(
        number=trial.number,
        label=f"{records.architecture(trial)}, {records.onnx_bytes(trial):,} bytes",
        is_on_front=trial.number in on_front,
        first_fold=tuple(point.fbeta for point in points if point.fold == 0),
        train_loss=tuple(tuple(point.train_loss for point in fold) for fold in folds),
        valid_loss=tuple(tuple(point.valid_loss for point in fold) for fold in folds),
    )


def _rule(trial: FrozenTrial) -> str | None:
    """Return what ended a trial early, if something did."""
    if trial.state == TrialState.PRUNED:
        return str(trial.user_attrs.get(records.PRUNED_BY, "unknown"))
    return "failed" if trial.state == TrialState.FAIL else None


def _rules(trials: Sequence[FrozenTrial], result: Outcome) -> tuple[RuleRow, ...]:
    rules = [rule for trial in trials if (rule := _rule(trial)) is not None]
    minutes = {saving.by: saving.minutes for saving in result.savings}
    counted = {rule: rules.count(rule) for rule in dict.fromkeys(rules)}
    return tuple(
        RuleRow(rule=rule, meaning=MEANINGS.get(rule, ""), trials=count, minutes_saved=minutes.get(rule))
        for rule, count in sorted(counted.items(), key=lambda pair: -pair[1])
    )


def _ended(trial: FrozenTrial) -> EndedTrial:
    known = records.estimate(trial)
    points = records.curve(trial)
    return EndedTrial(
        number=trial.number,
        architecture=records.architecture(trial),
        onnx_bytes=trial.params.get(records.ONNX_BYTES),
        learning_rate=records.learning_rate(trial),
        epochs=len(points),
        folds=known.folds if known else 0,
        fbeta=records.fbeta(trial) if points else None,
        rule=_rule(trial) or "",
        reason=str(trial.user_attrs.get(records.PRUNED_BECAUSE, "")),
    )


def _cost(of: Snapshot, result: Outcome) -> Cost:
    workers = [worker for trial in of.trials if (worker := trial.user_attrs.get(records.WORKER))]
    seconds = [
        ((trial.datetime_complete or of.taken) - trial.datetime_start).total_seconds()
        for trial in of.trials
        if trial.datetime_start is not None and trial.state != TrialState.FAIL
    ]
    return Cost(
        wall_seconds=result.spent.seconds,
        worker_seconds=sum(seconds),
        epoch_seconds=sum(records.training_seconds(trial) for trial in of.trials),
        workers=len({(one.get("host"), one.get("pid"), one.get("started")) for one in workers}),
        devices=tuple(sorted({str(one.get("device")) for one in workers})),
        trained=result.spent.trained,
        finished=len(records.completed(of.trials)),
        pruned=sum(result.pruned.values()),
        untrained=result.spent.untrained,
        failed=result.failed,
    )


def _look(one: Mapping[str, Any]) -> Look:
    return Look(
        when=str(one["when"]),
        directory=Path(str(one["directory"])).name,
        model=str(one["model"])[:12],
        fbeta=float(one["fbeta"]),
    )
