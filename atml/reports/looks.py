"""Counts evaluations on unseen segments, since repeated evaluation turns a test set into validation."""

import hashlib
from datetime import UTC, datetime
from typing import Any

from optuna import Study

from atml.ecg import Dataset
from atml.service.stored import StoredStudy

TEST_LOOKS = "test_looks"


def looks(study: Study) -> list[dict[str, Any]]:
    """Return the evaluations counted so far, oldest first."""
    return list(study.user_attrs.get(TEST_LOOKS, []))


def count_look(stored: StoredStudy, model: bytes, dataset: Dataset, fbeta: float) -> int:
    """Record on a study that one of its models was evaluated on `dataset`; return the number so far.

    The same model on the same segments reveals nothing new, so repetitions are not counted, nor are
    evaluations on the training segments.
    """
    counted = looks(stored.study)
    look = {"model": hashlib.sha256(model).hexdigest(), "fingerprint": dataset.fingerprint}
    seen_before = any(look.items() <= earlier.items() for earlier in counted)
    if dataset.fingerprint != stored.data.fingerprint and not seen_before:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        counted.append({**look, "when": now, "directory": dataset.source, "fbeta": round(fbeta, 6)})
        stored.study.set_user_attr(TEST_LOOKS, counted)
    return len(counted)
