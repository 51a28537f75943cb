"""Errors within a trial: which would recur, how they are recorded, and when a study gives up."""

from collections.abc import Iterable, Sequence

import torch
from optuna.trial import FrozenTrial, TrialState

from atml.errors import CannotWrite, StorageError, StudyDeleted
from atml.tuning import records
from atml.tuning.records import PrunedBy

# If this many first trials all end with the same error, the others would too.
ENOUGH_ERRORS = 10
_DIED = "its workers died"

# Errors that may not occur another time or on another machine.
_PASSING = (
    CannotWrite,
    StorageError,
    StudyDeleted,
    MemoryError,
    OSError,
    ImportError,
    torch.OutOfMemoryError,
)
# Packages whose own errors concern a database, a server or a bucket.
_REMOTE = ("optuna", "sqlalchemy", "psycopg", "boto3", "botocore")
# PyTorch has no type of its own for these.
_DEVICE = (
    "out of memory",
    "allocate memory",
    "not enough memory",
    "bad_alloc",
    "cuda error",
    "cudnn error",
    "cudnn_status",
    "cublas_status",
)


def will_recur(error: Exception) -> bool:
    """Whether the same trial would fail again: training is deterministic, so most errors recur.

    Errors that are caused, even indirectly, by a disk, a server, memory or a GPU do not.
    """
    cause: BaseException | None = error
    while cause is not None:
        if _is_passing(cause):
            return False
        cause = cause.__cause__
    return True


def _is_passing(error: BaseException) -> bool:
    if isinstance(error, _PASSING) or not isinstance(error, Exception):
        return True
    if any(kind.__module__.partition(".")[0] in _REMOTE for kind in type(error).__mro__):
        return True
    text = str(error).lower() if isinstance(error, RuntimeError) else ""
    return any(words in text for words in _DEVICE)


def ended_by_error(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that an error ended, in their order."""
    return [trial for trial in trials if trial.user_attrs.get(records.PRUNED_BY) == PrunedBy.ERROR]


def reason_of(trial: FrozenTrial) -> str:
    """Return the recorded error that ended a trial."""
    return str(trial.user_attrs.get(records.PRUNED_BECAUSE, ""))


def deaths_in_words(deaths: int) -> str:
    """Return why a trial is ended that keeps killing its workers, as recorded on it."""
    return f"{_DIED} {deaths} times in a row without a new epoch"


def has_traceback(trial: FrozenTrial) -> bool:
    """Whether a worker has logged the error that ended a trial; a killed one logs nothing."""
    return not reason_of(trial).startswith(_DIED)


def hopeless(trials: Sequence[FrozenTrial]) -> str | None:
    """Return a message if every trial ends with the same error, else None.

    At least ten trials must have ended with it and none may have trained without an error. While an
    architecture that has had no error yet is in training, the study waits for its result.
    """
    failed = ended_by_error(trials)
    if len(failed) < ENOUGH_ERRORS or len({reason_of(trial).partition(":")[0] for trial in failed}) > 1:
        return None
    if len(records.trained(trials)) > len(records.trained(failed)):
        return None
    running = {records.architecture(trial) for trial in trials if trial.state == TrialState.RUNNING}
    if running - {"", *map(records.architecture, failed)}:
        return None
    return f"the first {len(failed)} trials all ended with the same error: {reason_of(failed[0])}"
