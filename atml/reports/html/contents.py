"""What a report says, as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from atml.evaluation import Abstention, Metrics, Robustness, ScoreCurves

PointState = Literal["good", "tried", "bad", "pruned", "open"]


@dataclass(frozen=True, kw_only=True)
class Target:
    """One target of the spec, and what the best trial or the model reaches."""

    text: str
    reached: str
    met: bool | None  # None: not measured


@dataclass(frozen=True, kw_only=True)
class TrialRow:
    """A trial that was trained."""

    number: int
    architecture: str
    onnx_bytes: int
    parameters: int | None
    ram_bytes: int | None  # of its C code
    learning_rate: float
    fbeta: float
    standard_error: float | None
    folds: int  # finished
    is_on_front: bool
    is_finished: bool  # was trained on all folds


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A known model that the front is compared with."""

    name: str
    onnx_bytes: int
    fbeta: float


@dataclass(frozen=True, kw_only=True)
class SizeRow:
    """The best trial within a size."""

    limit: int  # bytes
    best: TrialRow
    gained: float | None  # F-beta gained in the second half of the search; None if the first found no model


@dataclass(frozen=True, kw_only=True)
class ArchitectureRow:
    """How one architecture did."""

    name: str
    points: int  # in the grid
    trained: int  # trials
    finished: int  # trials
    best: TrialRow | None  # of the trials with an estimate, finished ones first


@dataclass(frozen=True, kw_only=True)
class RatePoint:
    """One point of the grid: an architecture of one size at one learning rate."""

    onnx_bytes: int
    learning_rate: float
    state: PointState
    fbeta: float | None


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The learning curve of a trial."""

    number: int
    label: str
    is_on_front: bool
    first_fold: tuple[float, ...]  # F-beta by epoch; empty if the trial began with a later fold
    train_loss: tuple[tuple[float, ...], ...]  # by fold, by epoch
    valid_loss: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True)
class EndedTrial:
    """A trial that did not run to its end, and why."""

    number: int
    architecture: str
    onnx_bytes: int | None
    learning_rate: float | None
    epochs: int
    folds: int
    fbeta: float | None
    rule: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class RuleRow:
    """One reason why trials ended early, and what that saved."""

    rule: str
    meaning: str
    trials: int
    minutes_saved: float | None


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What the search took."""

    wall_seconds: float
    worker_seconds: float  # summed over trials; also those that failed
    epoch_seconds: float  # of it, within epochs
    workers: int  # different ones
    devices: tuple[str, ...]
    trained: int
    finished: int
    pruned: int
    untrained: int
    failed: int


@dataclass(frozen=True, kw_only=True)
class Look:
    """One evaluation of a model on test segments."""

    when: str
    directory: str
    model: str  # the start of its SHA-256
    fbeta: float


@dataclass(frozen=True, kw_only=True)
class StudyPart:
    """What a report says about a study."""

    name: str
    phase: str
    beta: float
    answer: str
    best_fbeta: float | None  # of the trial that is ranked first
    best_bytes: int | None
    advice: tuple[str, ...]
    ended: str | None  # why the search ended
    best: int | None  # number of the trial that is ranked first
    front: tuple[TrialRow, ...]
    others: tuple[TrialRow, ...]  # trained trials that are not on the front
    onnx_bytes_target: int | None
    fbeta_target: float | None
    sizes: tuple[SizeRow, ...]
    size_name: str  # of what counts as the size
    size_classes: tuple[int, ...]  # bytes
    architectures: tuple[ArchitectureRow, ...]
    rates: Mapping[str, tuple[RatePoint, ...]]  # architecture → its points
    rate_rule: str
    curves: tuple[Curve, ...]
    rules: tuple[RuleRow, ...]
    ended_early: tuple[EndedTrial, ...]
    cost: Cost
    looks: tuple[Look, ...]
    data: Mapping[str, Any]  # folder, segments, subjects, segment_length, fingerprint
    spec: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class Trace:
    """An example segment."""

    subject: str
    rhythm: str
    kind: str  # such as "false alarm"
    is_right: bool
    score: float
    file: str
    samples: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelPart:
    """What a report and a model card say about a shipped model."""

    name: str
    study: str
    trial: int
    architecture: str
    config: Mapping[str, Any]
    learning_rate: float
    onnx_bytes: int
    counted_bytes: int | None  # of what the spec's `targets.size_of` names
    device: tuple[tuple[str, str], ...]  # figure, value; what it needs on a microcontroller
    threshold: float
    positive: tuple[str, ...]  # annotated rhythms that were labelled AFIB
    parity: float
    beta: float
    sizes: tuple[int, ...]  # bytes within which it is the best
    created: str
    version: str  # of ATML
    segment_length: int | None
    search_fbeta: float
    folds_fbeta: float
    out_of_fold: Metrics
    test: Metrics | None
    test_looks: int
    robustness: Robustness | None
    curves: ScoreCurves | None
    abstentions: tuple[Abstention, ...]  # out of fold, by falling coverage
    withheld: Mapping[str, Any] | None  # the abstention that was chosen for it, as `metrics.json` has it
    traces: tuple[Trace, ...]
    training_data: Mapping[str, Any]  # fingerprint, segments
    test_data: Mapping[str, Any] | None
    spec: Mapping[str, Any]
    files: tuple[Mapping[str, Any], ...]  # name, bytes, sha256


@dataclass(frozen=True, kw_only=True, eq=False)
class Contents:
    """A whole report: of a study with a model, if there is one, or of a model with its study, if known."""

    about_model: bool  # the model comes first, not the study
    study: StudyPart | None
    model: ModelPart | None
    models: tuple[ModelPart, ...]  # all that were shipped, smallest first
    created: str
    versions: Mapping[str, str]  # package → version, of the report's own process
    references: tuple[Reference, ...] = ()

    @property
    def spec(self) -> Mapping[str, Any]:
        """The study's spec."""
        if self.study:
            return self.study.spec
        return self.model.spec if self.model else {}
