"""What a report says, as data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from atml.ecg.simulated import fit_labels
from atml.evaluation import Abstention, Metrics, Robustness, ScoreCurves
from atml.reports.html.words import unit
from atml.tuning.outcome import Outcome, SizeResult
from atml.tuning.records import CurvePoint

TEST_SUBJECTS, OUT_OF_FOLD = "Test subjects", "Training subjects, out of fold"
PointState = Literal["good", "tried", "bad", "ruled out", "open"]


@dataclass(frozen=True, kw_only=True)
class Target:
    """One target of the spec, and what the best trial or the model reaches."""

    text: str
    reached: str
    met: bool | None  # None: not measured


@dataclass(frozen=True, kw_only=True)
class TrialRow:
    """A trial."""

    number: int
    architecture: str
    onnx_bytes: int  # 0 before it is known
    parameters: int | None
    ram_bytes: int | None  # of its C code
    learning_rate: float  # 0 before it is known
    fbeta: float  # 0 if it was not trained
    standard_error: float | None
    folds: int  # finished
    curve: tuple[CurvePoint, ...]
    is_on_front: bool
    is_finished: bool  # was trained on all folds
    rule: str | None  # what ended it early
    reason: str


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A known model that the front is compared with."""

    name: str
    onnx_bytes: int
    fbeta: float


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
class RuleRow:
    """One reason why trials ended early, and what that saved."""

    rule: str
    meaning: str
    trials: int
    minutes_saved: float | None


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What the search took, beside what its outcome says."""

    worker_seconds: float  # summed over trials that were not interrupted
    workers: int  # processes; a worker that was started again counts again
    devices: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class StudyPart:
    """What a report says about a study."""

    result: Outcome
    answer: str
    trials: tuple[TrialRow, ...]
    best: TrialRow | None  # the one that is ranked first
    front: tuple[TrialRow, ...]  # smallest first
    others: tuple[TrialRow, ...]  # trials with an estimate that are not on the front
    sizes: tuple[tuple[SizeResult, TrialRow], ...]
    architectures: tuple[ArchitectureRow, ...]
    rates: Mapping[str, tuple[RatePoint, ...]]  # architecture → its points
    rate_rule: str
    rules: tuple[RuleRow, ...]
    cost: Cost
    looks: tuple[Mapping[str, Any], ...]  # as `looks` returns them, with the folder's name alone
    data: Mapping[str, Any]  # folder, segments, subjects, segment_length, fingerprint

    @property
    def beta(self) -> float:
        """Beta of F-beta."""
        return self.result.phase.beta

    @property
    def unit(self) -> str:
        """What the sizes of trials count, such as `bytes` or `INT8 bytes`."""
        return unit(self.result.phase.targets.size_of)


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
    segment_length: int
    search_fbeta: float
    folds_fbeta: float
    out_of_fold: Metrics
    test: Metrics | None
    test_looks: int
    robustness: Robustness
    curves: ScoreCurves
    abstentions: tuple[Abstention, ...]  # out of fold, by falling coverage
    withheld: Mapping[str, Any] | None  # the abstention that was chosen for it, as `metrics.json` has it
    answered: Mapping[str, Metrics]  # of the segments that get an answer, named as `evaluations` are
    traces: tuple[Trace, ...]
    training_data: Mapping[str, Any]  # fingerprint, segments
    test_data: Mapping[str, Any] | None
    spec: Mapping[str, Any]
    files: tuple[Mapping[str, Any], ...]  # name, bytes, sha256

    @property
    def evaluations(self) -> list[tuple[str, Metrics]]:
        """Its metrics, with what they were measured on: all segments, answered or not."""
        tested = [(TEST_SUBJECTS, self.test)] if self.test else []
        return [*tested, (OUT_OF_FOLD, self.out_of_fold)]

    @property
    def evaluations_with_answered(self) -> list[tuple[str, Metrics]]:
        """`evaluations`, each followed by that of the answered segments alone if there is one."""
        found = []
        for name, metrics in self.evaluations:
            alone = self.answered.get(name)
            found += [(name, metrics), *([(f"{name}, answered alone", alone)] if alone else [])]
        return found

    @property
    def simulated(self) -> float:
        """Share of simulated segments that it was trained on."""
        final = self.spec["finalize"]["simulated"]
        share: float = self.spec["training"]["simulated"] if final is None else final
        return share if fit_labels(self.positive) else 0.0


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
            return self.study.result.phase.stored()
        return self.model.spec if self.model else {}
