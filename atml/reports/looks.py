"""Counts evaluations on unseen segments, since repeated evaluation turns a test set into validation."""

import hashlib
from datetime import UTC, datetime
from typing import Any

from optuna import Study

from atml.ecg import Dataset
from atml.errors import AtmlError
from atml.evaluation import Metrics
from atml.reports.bundle import Bundle
from atml.service.storage import open_storage
from atml.service.stored import StoredStudy
from atml.service.studies import damage_explained, load
from atml.words import counted

# One attribute for each, since two evaluations at once would overwrite each other's in a common list.
LOOK = "test_look:"


def looks(study: Study) -> list[dict[str, Any]]:
    """Return the evaluations counted so far, oldest first."""
    with damage_explained(study.study_name):
        counted = [dict(look) for name, look in study.user_attrs.items() if name.startswith(LOOK)]
        return sorted(counted, key=lambda look: str(look["when"]))


def count_evaluation(
    bundle: Bundle, model: bytes, dataset: Dataset, metrics: Metrics, storage: str, *, training_subjects: int
) -> str:
    """Count an evaluation of a model file on the bundle's study; return a message with the number so far."""
    name = bundle.study
    try:
        stored = load(open_storage(storage, must_exist=True), name)
        times = count_look(stored, model, dataset, metrics, training_subjects=training_subjects)
    except AtmlError as error:
        return f"evaluation not counted: {error}"
    return f"models of study {name!r} have been evaluated on other segments {counted(times, 'time')}"


def count_look(
    stored: StoredStudy, model: bytes, dataset: Dataset, metrics: Metrics, *, training_subjects: int = 0
) -> int:
    """Record on a study that one of its models was evaluated on `dataset`; return the number so far.

    The same model on the same segments, at the same threshold and beta, reveals nothing new, so repetitions
    are not counted, nor are evaluations on the training segments. Another threshold counts, since otherwise
    it could be tuned on test segments unseen. `training_subjects`, how many of its subjects have the names of
    training subjects, is recorded; such a look is counted, since they may be other people.
    """
    look = {
        "model": hashlib.sha256(model).hexdigest(),
        "fingerprint": dataset.fingerprint,
        "threshold": metrics.threshold,
        "beta": metrics.beta,
    }
    seen_before = any(look.items() <= earlier.items() for earlier in looks(stored.study))
    if dataset.fingerprint != stored.data.fingerprint and not seen_before:
        details = {
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "directory": dataset.source,
            "fbeta": metrics.defined("fbeta"),
            "subjects": metrics.subjects,
            "training_subjects": training_subjects,
        }
        identity = hashlib.sha256(" ".join(map(str, look.values())).encode()).hexdigest()
        stored.study.set_user_attr(LOOK + identity, {**look, **details})
    return len(looks(stored.study))
