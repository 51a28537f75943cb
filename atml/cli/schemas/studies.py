"""Searches and their trials."""

from typing import Literal

from atml.cli.schemas.bundles import FinalDocument
from atml.cli.schemas.document import Document


class TrialDocument(Document):
    """A trial and its result."""

    trial: int
    """Number of the trial."""
    state: Literal["running", "complete", "pruned", "fail", "waiting"]
    """State of the trial in Optuna."""
    architecture: str
    """Name of the architecture."""
    learning_rate: float | None
    """Learning rate."""
    config: dict[str, int | float]
    """Fields of the architecture's config, such as its widths."""
    fbeta: float
    """F-beta: mean over the folds it was trained on, at `threshold`."""
    standard_error: float | None
    """Standard error of that mean; null with one fold."""
    folds: int
    """Number of folds it was trained on."""
    threshold: float | None
    """The threshold, the same for all folds, with the best mean F-beta."""
    onnx_bytes: int | None
    """Its size in bytes, of what `targets.size_of` names."""
    parameters: int | None
    """Number of trainable parameters."""
    ram_bytes: int | None
    """RAM that the INT8 model's C code needs, with 512 bytes for the stack; null if none can be generated."""
    macs: int | None
    """Multiply-accumulates for one segment."""
    flash_bytes: int | None
    """Flash of the C code; null unless the study's targets name flash."""
    instructions: int | None
    """Instructions for one segment on a Cortex-M4F; null unless the study's targets limit them."""
    epochs: int
    """Number of epochs trained, over all folds."""
    seconds: float
    """Training time in seconds."""
    metrics: dict[str, float | None] | None
    """Validation metrics over its folds, by name; null before its first fold ended."""


class SpentDocument(Document):
    """What a study has used so far."""

    trained: int
    """Trials that were trained for at least one epoch; they count for the budget."""
    running: int
    """Trials in training."""
    untrained: int
    """Trials that were pruned before their first epoch."""
    seconds: float
    """Wall-clock time during which at least one trial ran."""


class ErrorDocument(Document):
    """A trial that ended with an error."""

    trial: int
    """Number of the trial."""
    error: str
    """The error."""


class SavingDocument(Document):
    """Trials that one rule ended early, and the training time saved."""

    by: Literal["pruner", "race"]
    """The rule: `pruner` in the first fold, `race` after a fold."""
    trials: int
    """Number of trials."""
    minutes: float
    """Training time that was saved, estimated from each trial's speed."""


class SizeDocument(Document):
    """The best model within one of the requested sizes."""

    onnx_bytes_at_most: int
    """The size in bytes."""
    best: TrialDocument
    """The best trial within it."""
    gained: float | None
    """F-beta gained in the second half of the trained trials; null if the first half found no model."""


class StoppedDocument(Document):
    """Why a study has ended."""

    by: Literal["targets", "budget", "space", "errors", "user"]
    """What ended it; `space`: every point was tried or ruled out."""
    because: str
    """The reason in words."""
    trial: int | None
    """The trial that met the targets, if that ended the study."""


class OutcomeDocument(Document):
    """The result of a study so far."""

    study: str
    """Name of the study."""
    phase: str
    """`joint`, `architecture` or `width`."""
    spent: SpentDocument
    """What the study has used so far."""
    pruned: dict[str, int]
    """Number of pruned trials by rule: `budget`, `duplicate`, `neighbourhood`, `pruner`, `race`, `diverged`,
    `stopped` or `error`."""
    errors: list[ErrorDocument]
    """Trials that ended with an error, oldest first."""
    failed: int
    """Trials that were interrupted; they are queued again."""
    savings: list[SavingDocument]
    """Training time that the rules saved."""
    best: TrialDocument | None
    """The trial ranked first; null before one has finished the race."""
    front: list[TrialDocument]
    """Trials not beaten in both F-beta and size, smallest first."""
    by_size: list[SizeDocument]
    """The best trial within each size, smallest first; sizes without one are omitted."""
    ranking: list[TrialDocument]
    """Trials that finished the race, best first."""
    unfinished: list[str]
    """Architectures without such a trial."""
    stopped: StoppedDocument | None
    """Why the study has ended; null if it has not."""
    targets_met: bool
    """Whether the best trial meets all targets; false if none is set."""
    failed_targets: list[str]
    """Targets that the best trial misses."""
    advice: list[str]
    """What to relax so that the targets can be met."""
    all_afib_fbeta: float | None
    """F-beta of calling every segment AFIB, for comparison; null in studies of earlier versions."""


class RunDocument(Document):
    """The result of `atml run`."""

    studies: list[OutcomeDocument]
    """Result of each search: one, or two with `--phase1` and `--phase2`."""
    final: FinalDocument
    """The shipped models."""


class StudyDataDocument(Document):
    """The segments a study was created with."""

    directory: str
    """Their directory."""
    fingerprint: str
    """Hash of names and samples; the same on every machine."""
    segments: int
    """Number of segments."""
    subjects: int
    """Number of subjects."""
    segment_length: int
    """Samples of a segment."""
    afib_share: float | None
    """Share of AFIB, the mean over subjects; null in studies of earlier versions."""


class BudgetDocument(Document):
    """The budget of a study."""

    trials: int | None
    """`budget.trials` of the spec."""
    minutes: float | None
    """`budget.minutes` of the spec."""


class RunningTrialDocument(Document):
    """A trial in training."""

    number: int
    """Number of the trial."""
    architecture: str
    """Name of the architecture."""
    learning_rate: float | None
    """Learning rate."""
    fold: int
    """Fold in training, from 0."""
    epoch: int
    """Finished epochs of this fold."""
    epochs: int
    """Epochs of a fold."""
    fbeta: float | None
    """F-beta so far; null before the first epoch has ended."""
    onnx_bytes: int | None
    """Its size in bytes, of what `targets.size_of` names."""
    host: str
    """Host of its worker."""
    pid: int
    """Process number of its worker."""


class StudyDocument(OutcomeDocument):
    """A study: its result so far, data, budget and running trials."""

    data: StudyDataDocument
    """The segments it was created with."""
    budget: BudgetDocument
    """Its budget."""
    running: list[RunningTrialDocument]
    """Trials in training."""
    seconds_left: float | None
    """Estimate of the remaining time; null if unknown."""
    waits_for: str | None
    """The phase 1 study that must end first; null if none."""


class WorkerDocument(Document):
    """A worker process."""

    host: str
    """Its host."""
    pid: int
    """Its process number."""
    number: int
    """Its number, which seeds its sampler."""
    device: str
    """Device it trains on."""
    threads: int
    """CPU threads it trains with."""
    study: str | None
    """Study it works on; null if it waits for one."""
    trial: int | None
    """Trial it trains; null between two trials."""
    epoch: int | None
    """Finished epochs of the fold."""
    epochs: int | None
    """Epochs of the fold."""
    last_seen_seconds: float
    """Seconds since its last heartbeat."""
    lost: bool
    """Whether it disappeared."""


class NotShownDocument(Document):
    """A study that cannot be read."""

    study: str
    """Name of the study."""
    error: str
    """Why not, and what to do."""


class StatusDocument(Document):
    """Studies and workers of a storage."""

    studies: list[StudyDocument]
    """All studies, or the named one."""
    workers: list[WorkerDocument]
    """All workers, or those of the named study."""
    not_shown: list[NotShownDocument]
    """Studies that cannot be read: somebody has damaged them, or another version of ATML made them."""


class MlflowDocument(Document):
    """What `atml export-mlflow` wrote."""

    experiment: str
    """Name of the experiment."""
    study_run: str
    """Id of the study's run."""
    created: int
    """Runs of trials that were not there before."""
    updated: int
    """Runs of trials that have changed since the last export."""
    unchanged: int
    """Runs of trials that were complete already."""


class SpecDocument(Document):
    """A spec that ships with ATML."""

    name: str
    """Its name, for `atml specs show` and `copy`."""
    description: str
    """What it is for."""
