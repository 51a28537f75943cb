"""Looks at segments that a study has not seen: each is counted, since a figure looked at often is no test."""

import hashlib
from datetime import UTC, datetime
from typing import Any

from optuna import Study

from atml.ecg import Dataset
from atml.service.studies import StoredStudy

TEST_LOOKS = "test_looks"


def looks(study: Study) -> list[dict[str, Any]]:
    """Return the looks that were counted so far, oldest first."""
    return list(study.user_attrs.get(TEST_LOOKS, []))


def count_look(stored: StoredStudy, model: bytes, dataset: Dataset, fbeta: float) -> int:
    """Record on a study that a model of it met `dataset`, and return how often any did.

    The same model on the same segments tells nothing new, so repeating it is no further look; nor is one
    at the training segments.
    """
    counted = looks(stored.study)
    look = {"model": hashlib.sha256(model).hexdigest(), "fingerprint": dataset.fingerprint}
    seen_before = any(look.items() <= earlier.items() for earlier in counted)
    if dataset.fingerprint != stored.data.fingerprint and not seen_before:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        counted.append({**look, "when": now, "directory": dataset.source, "fbeta": round(fbeta, 6)})
        stored.study.set_user_attr(TEST_LOOKS, counted)
    return len(counted)
