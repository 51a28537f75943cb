"""Counts evaluations on unseen segments, since repeated evaluation turns a test set into validation."""

import hashlib
from datetime import UTC, datetime
from typing import Any

from optuna import Study

from atml.ecg import Dataset
from atml.service.stored import StoredStudy

# One attribute for each, since two evaluations at once would overwrite each other's in a common list.
LOOK = "test_look:"
EARLIER_LOOKS = "test_looks"  # the list that earlier versions kept


def looks(study: Study) -> list[dict[str, Any]]:
    """Return the evaluations counted so far, oldest first."""
    attributes = study.user_attrs
    counted = list(attributes.get(EARLIER_LOOKS, []))
    counted += [look for name, look in attributes.items() if name.startswith(LOOK)]
    return sorted(counted, key=lambda look: str(look["when"]))


def count_look(stored: StoredStudy, model: bytes, dataset: Dataset, fbeta: float) -> int:
    """Record on a study that one of its models was evaluated on `dataset`; return the number so far.

    The same model on the same segments reveals nothing new, so repetitions are not counted, nor are
    evaluations on the training segments.
    """
    look = {"model": hashlib.sha256(model).hexdigest(), "fingerprint": dataset.fingerprint}
    seen_before = any(look.items() <= earlier.items() for earlier in looks(stored.study))
    if dataset.fingerprint != stored.data.fingerprint and not seen_before:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        details = {"when": now, "directory": dataset.source, "fbeta": round(fbeta, 6)}
        stored.study.set_user_attr(_name_of(look), {**look, **details})
    return len(looks(stored.study))


def _name_of(look: dict[str, str]) -> str:
    return LOOK + hashlib.sha256("".join(look.values()).encode()).hexdigest()
