"""Results as JSON documents, for scripts."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from atml.tuning import records
from atml.tuning.failures import reason_of

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from atml.errors import AtmlError
    from atml.reports.finalize import Final
    from atml.reports.ship import Model
    from atml.service.progress import WorkerState
    from atml.service.stored import StoredStudy
    from atml.tuning.outcome import Outcome
    from atml.tuning.snapshot import Snapshot


def outcome_document(outcome: "Outcome") -> dict[str, Any]:
    """Return an outcome as JSON."""
    return {
        "study": outcome.study,
        "phase": outcome.phase.phase,
        "spent": asdict(outcome.spent),
        "pruned": outcome.pruned,
        "errors": [{"trial": trial.number, "error": reason_of(trial)} for trial in outcome.errors],
        "failed": outcome.failed,
        "savings": [asdict(saving) for saving in outcome.savings],
        "best": trial_document(outcome.best) if outcome.best else None,
        "front": [trial_document(trial) for trial in outcome.front],
        "by_size": [
            {"onnx_bytes_at_most": one.limit, "best": trial_document(one.best), "gained": one.gained}
            for one in outcome.by_size
        ],
        "ranking": [trial_document(trial) for trial in outcome.ranking],
        "unfinished": list(outcome.unfinished),
        "stopped": asdict(outcome.stop) if outcome.stop else None,
        "targets_met": outcome.targets_met,
        "failed_targets": list(outcome.failed_targets),
        "advice": list(outcome.advice),
        "all_afib_fbeta": outcome.all_afib_fbeta,
    }


def trial_document(trial: "FrozenTrial") -> dict[str, Any]:
    """Return a trial and its result as JSON."""
    known = records.estimate(trial)
    return {
        "trial": trial.number,
        "state": trial.state.name.lower(),
        "architecture": records.architecture(trial),
        "learning_rate": records.learning_rate(trial),
        "config": records.config(trial),
        "fbeta": records.fbeta(trial),
        "standard_error": known.standard_error if known else None,
        "folds": known.folds if known else 0,
        "threshold": known.threshold if known else None,
        "onnx_bytes": trial.params.get(records.ONNX_BYTES),
        "parameters": records.parameters(trial),
        **asdict(records.footprint(trial)),
        "epochs": len(records.curve(trial)),
        "seconds": records.training_seconds(trial),
        "metrics": records.metrics(trial) or None,
    }


def final_document(final: "Final") -> dict[str, Any]:
    """Return the result of finalize as JSON."""
    return {
        "models": [model_document(model) for model in final.models],
        "recommended": str(final.recommended.bundle),
        "is_robust": final.is_robust,
        "test_looks": final.test_looks,
    }


def model_document(model: "Model") -> dict[str, Any]:
    """Return a shipped model as JSON."""
    chosen = model.choice.candidate
    return {
        "bundle": str(model.bundle),
        "sizes": list(model.choice.sizes),
        "onnx_bytes": model.onnx_bytes,
        "parity": model.parity,
        "threshold": model.threshold,
        "trial": model.trial,
        "architecture": model.architecture,
        "fbeta": chosen.fbeta,
        "standard_error": chosen.contender.estimate.standard_error,
        "out_of_fold": chosen.out_of_fold.to_dict(),
        "test": model.test.to_dict() if model.test else None,
        "int8": model.int8.to_dict() if model.int8 else None,
        "robustness": model.robustness.to_dict(),
    }


def status_document(
    studies: "list[tuple[StoredStudy, Snapshot]]",
    workers: "Iterable[WorkerState]",
    damaged: "Mapping[str, AtmlError]",
) -> dict[str, Any]:
    """Return the output of `atml status` as JSON."""
    return {
        "studies": [study_document(stored, of) for stored, of in studies],
        "workers": [asdict(worker) for worker in workers],
        "not_shown": [{"study": name, "error": str(error)} for name, error in damaged.items()],
    }


def study_document(stored: "StoredStudy", of: "Snapshot") -> dict[str, Any]:
    """Return a study's state as JSON: its outcome so far, data, budget and running trials."""
    from atml.service.progress import progress
    from atml.tuning.outcome import outcome

    state = progress(of)
    return {
        **outcome_document(outcome(of)),
        "data": asdict(stored.data),
        "budget": {"trials": state.trials_budget, "minutes": state.minutes_budget},
        "running": [asdict(trial) for trial in state.running],
        "seconds_left": state.seconds_left,
        "waits_for": stored.waits_for,
    }
