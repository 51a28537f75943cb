"""The fields of the JSON documents that ATML builds as plain dictionaries."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from atml.doctor import Finding
from atml.ecg.dataset import DirectoryReport
from atml.evaluation import Metrics, Robustness, ScoreCurves
from atml.export.c import CCheck, Footprint
from atml.reports.abstaining import Withheld
from atml.reports.int8 import Int8Figures
from atml.reports.predicting import RecordingPart, RecordingPrediction
from atml.reports.qdq import FullInteger
from atml.reports.verify import Check

# Printed by commands


@dataclass(frozen=True, kw_only=True)
class DoctorDocument:
    """What this machine has of what ATML uses."""

    ready: bool  #: Whether everything is there that a search needs.
    findings: list[Finding]  #: Everything that was looked for.


@dataclass(frozen=True, kw_only=True)
class SpecDocument:
    """A spec that ships with ATML."""

    name: str  #: Its name, for `atml specs show` and `copy`.
    description: str  #: What it is for.


@dataclass(frozen=True, kw_only=True)
class SegmentProblemDocument:
    """What is wrong with one file."""

    file: str  #: Name of the file.
    text: str  #: What is wrong and what to do.
    line: int | None  #: The line; null if the whole file is meant.


@dataclass(frozen=True, kw_only=True)
class CheckedDirectoryDocument(DirectoryReport):
    """The segments of a directory and their problems."""

    problems: list[SegmentProblemDocument]  #: Files that cannot be used, sorted by name.


@dataclass(frozen=True, kw_only=True)
class PredictionDocument:
    """The answer to one segment."""

    file: str  #: The segment's file.
    probability: float  #: Score from 0 to 1.
    #: AFIB if the score is at least the threshold; no answer if it is too near to it for the bundle.
    called: Annotated[Literal["Normal", "AFIB", "no answer"], Field(alias="class")]


@dataclass(frozen=True, kw_only=True)
class RecordingPartDocument(RecordingPart):
    """A segment of a recording with its score, or a part that has none."""

    #: AFIB if the score is at least the threshold; null without a score or an answer.
    called: Annotated[Literal["Normal", "AFIB"] | None, Field(alias="class")]


@dataclass(frozen=True, kw_only=True)
class RecordingPredictionDocument(RecordingPrediction):
    """The scores of a recording and its episodes of atrial fibrillation."""

    episode_rule: str  #: What an episode is, in words.
    minimum_seconds: float  #: Shorter episodes are left out (`--minimum`).
    parts: list[RecordingPartDocument]  #: All of the recording, in order of time.


@dataclass(frozen=True, kw_only=True)
class VerificationDocument:
    """The checks of a bundle."""

    checks: list[Check]  #: Every check; if the manifest cannot be read, there are no others.


@dataclass(frozen=True, kw_only=True)
class CodeDocument(CCheck):
    """C code of a model. Without `--check`, `host_difference` and `target` are null."""

    files: list[str]  #: The files that were written.


@dataclass(frozen=True, kw_only=True)
class QdqDocument(FullInteger):
    """A model with 8 bit weights and activations, compared with the model it was made of."""

    out: str  #: The file that was written.


# Files of a bundle


@dataclass(frozen=True, kw_only=True)
class BundledCodeDocument(Footprint):
    """The C code in a bundle; a figure is null if there is no code, or no tool to measure it."""

    model: str  #: The model file it computes: `model.int8.onnx` if there is one.
    #: Memory that the caller provides, the segment included; null if there is no code.
    memory_bytes: int | None
    refused: str | None  #: Why there is no code; null if there is.


@dataclass(frozen=True, kw_only=True)
class MetricsFileDocument:
    """`metrics.json` of a bundle."""

    onnx_bytes: int  #: Size of `model.onnx` in bytes.
    threshold: float  #: Decision threshold: the lowest score that counts as AFIB.
    parity: float  #: Largest difference of a logit between ONNX Runtime and PyTorch.
    #: Metrics on all test segments, with those that it would not answer; null without `--test`.
    test: Metrics | None
    test_looks: int  #: How often models of this study had been evaluated on test segments.
    #: When it gives no answer; null unless the spec has `finalize.coverage`.
    abstention: Withheld | None
    #: Median time of one segment in ONNX Runtime, with one thread, where the model was finalized.
    latency_ms: float
    int8: Int8Figures | None  #: Its INT8 version; null if that is not smaller.
    #: Metrics of the new folds' networks on the subjects that each has not seen, on all segments likewise.
    out_of_fold: Metrics
    search_fbeta: float  #: F-beta in the search.
    #: How well the out-of-fold scores separate the classes and serve as probabilities.
    score_curves: ScoreCurves
    c: BundledCodeDocument  #: The C code in the bundle.
    folds_fbeta: float  #: Mean F-beta over all folds, those of the search and the new ones.
    #: Metrics under disturbances, of the new folds' networks on the subjects that each has not seen.
    robustness: Robustness


@dataclass(frozen=True, kw_only=True)
class SegmentsDocument:
    """A set of segments."""

    fingerprint: str  #: Hash of names and samples.
    segments: int  #: Number of segments.


@dataclass(frozen=True, kw_only=True)
class SubjectsDocument:
    """Hashes (SHA-256) of the names of subjects."""

    train: list[str]  #: Subjects of the training segments.
    test: list[str]  #: Subjects of the test segments.


@dataclass(frozen=True, kw_only=True)
class FileDocument:
    """A file of a bundle."""

    name: str  #: Its name.
    bytes: int  #: Its size.
    sha256: str  #: Its SHA-256.


@dataclass(frozen=True, kw_only=True)
class ManifestDocument:
    """`manifest.json` of a bundle."""

    atml: str  #: Version of ATML that wrote it.
    created: str  #: When it was written (ISO 8601, UTC).
    study: str  #: Name of the study.
    trial: int  #: Number of the trial that found its configuration.
    sizes: list[int]  #: Sizes, in bytes, within which it is the best.
    architecture: str  #: Name of the architecture.
    config: dict[str, int | float]  #: Fields of the architecture's config, such as its widths.
    learning_rate: float  #: Learning rate it was trained with.
    threshold: float  #: Decision threshold: the lowest score that counts as AFIB.
    positive: list[str]  #: Annotated rhythms that were labelled AFIB: the class to find.
    training_data: SegmentsDocument  #: The training segments.
    test_data: SegmentsDocument | None  #: The test segments; null without `--test`.
    subjects: SubjectsDocument  #: Hashes that show that no subject is in both.
    spec: dict[str, Any]  #: The study's spec.
    recommended: bool  #: Whether it met the targets best of the models that were shipped with it.
    #: Below this confidence it gives no answer; null if every segment gets one.
    least_confidence: float | None
    files: list[FileDocument]  #: The other files of the bundle.
    checksum: str  #: SHA-256 of the manifest without this field.
