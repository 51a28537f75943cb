"""Shipped models and their bundles."""

from typing import Annotated, Any, Literal

from pydantic import Field

from atml.cli.schemas.document import Document
from atml.cli.schemas.metrics import MetricsDocument, RobustnessDocument, ScoreCurvesDocument


class Int8Document(Document):
    """The INT8 version of a model, compared with the model itself on training segments."""

    onnx_bytes: int
    """Size of `model.int8.onnx` in bytes."""
    shipped: bool
    """Whether it is in the bundle: at least 99 % of its decisions are equal."""
    largest_logit_difference: float
    """Largest difference of a logit."""
    decisions_equal: float
    """Fraction of equal decisions."""
    test: MetricsDocument | None
    """Metrics on the test segments; null without `--test`."""


class ModelDocument(Document):
    """A shipped model."""

    bundle: str
    """Folder of its bundle."""
    sizes: list[int]
    """Sizes, in bytes, within which it is the best; empty if it was chosen for the targets only."""
    onnx_bytes: int
    """Size of `model.onnx` in bytes."""
    parity: float
    """Largest difference of a logit between ONNX Runtime and PyTorch."""
    threshold: float
    """Decision threshold: the lowest score that counts as AFIB."""
    trial: int
    """Number of the trial that found its configuration."""
    architecture: str
    """Name of the architecture."""
    fbeta: float
    """Mean F-beta over all folds, those of the search and the new ones."""
    standard_error: float | None
    """Standard error of that mean."""
    out_of_fold: MetricsDocument
    """Metrics of the new folds' networks on the subjects that each has not seen."""
    test: MetricsDocument | None
    """Metrics on the test segments; null without `--test`."""
    int8: Int8Document | None
    """Its INT8 version; null if that is not smaller."""
    robustness: RobustnessDocument
    """Metrics under disturbances, of the new folds' networks on the subjects that each has not seen."""


class FinalDocument(Document):
    """The shipped models of a study."""

    models: list[ModelDocument]
    """The models, smallest first."""
    recommended: str
    """Folder of the bundle that meets the targets best."""
    is_robust: bool
    """Whether a candidate reached `targets.robust_fbeta`; if not, all were considered."""
    test_looks: int
    """How often models of this study have been evaluated on test segments."""


class PredictionDocument(Document):
    """The answer to one segment."""

    file: str
    """The segment's file."""
    probability: float
    """Score from 0 to 1."""
    called: Annotated[Literal["Normal", "AFIB", "no answer"], Field(alias="class")]
    """AFIB if the score is at least the threshold; no answer if it is too near to it for the bundle."""


class EpisodeDocument(Document):
    """An episode of atrial fibrillation in a recording."""

    start_seconds: float
    """Where it begins, in seconds since the recording's beginning."""
    end_seconds: float
    """Where it ends."""
    duration_seconds: float
    """Its length."""
    segments: int
    """Number of its segments."""
    mean_probability: float
    """Mean score of its segments."""


class RecordingPartDocument(Document):
    """A segment of a recording with its score, or a part that has none."""

    start_seconds: float
    """Where it begins, in seconds since the recording's beginning."""
    end_seconds: float
    """Where it ends."""
    probability: float | None
    """Score from 0 to 1; null without one."""
    called: Annotated[Literal["Normal", "AFIB"] | None, Field(alias="class")]
    """AFIB if the score is at least the threshold; null without a score or an answer."""
    reason: str | None
    """Why there is no score or no answer; null if there is one."""


class RecordingPredictionDocument(Document):
    """The scores of a recording and its episodes of atrial fibrillation."""

    record: str
    """Name of the recording."""
    channel: str
    """The channel that was scored."""
    rate_hz: float
    """Sampling rate of the source."""
    seconds: float
    """Length."""
    scored_seconds: float
    """Length of all scored segments together."""
    burden: float | None
    """Share of the scored time that lies in `episodes`; null if nothing is scored."""
    threshold: float
    """Lowest score that counts as AFIB."""
    minimum_seconds: float
    """Shorter episodes are left out (`--minimum`)."""
    episode_rule: str
    """What an episode is, in words."""
    episodes: list[EpisodeDocument]
    """Episodes in order of time."""
    parts: list[RecordingPartDocument]
    """All of the recording, in order of time."""


class CheckDocument(Document):
    """One check of a bundle."""

    name: str
    """What was checked."""
    result: Literal["passed", "failed", "skipped"]
    """The result."""
    detail: str
    """What was found, or why the check was skipped."""


class VerificationDocument(Document):
    """The checks of a bundle."""

    checks: list[CheckDocument]
    """Every check; if the manifest cannot be read, there are no others."""


class TargetDocument(Document):
    """What was measured on an emulated Cortex-M4F, compiled with -Os."""

    difference: float
    """Largest difference of a logit from ONNX Runtime's."""
    flash_bytes: int
    """Code and constants, without functions of the C library."""
    stack_bytes: int
    """Stack of one call."""
    ram_bytes: int
    """Memory and stack; the segment is part of the memory."""
    instructions: int
    """Instructions executed for one segment, to the nearest 40; not a time."""


class CodeDocument(Document):
    """C code of a model."""

    files: list[str]
    """The files that were written."""
    onnx_bytes: int
    """Size of the model file in bytes."""
    memory_bytes: int
    """Memory that the caller provides, the segment included."""
    host_difference: float | None
    """Largest difference of a logit on this machine; null without `--check` or a compiler."""
    target: TargetDocument | None
    """Figures of a microcontroller; null without `--check` or the tools for it."""
    missing_packages: list[str]
    """Debian's packages that would have allowed more checks."""


class QdqDocument(Document):
    """A model with 8 bit weights and activations, compared with the model it was made from."""

    out: str
    """The file that was written."""
    onnx_bytes: int
    """Its size in bytes."""
    onnx_bytes_before: int
    """Size of the model in bytes."""
    largest_logit_difference: float
    """Largest difference of a logit."""
    decisions_equal: float
    """Fraction of equal decisions."""
    metrics: MetricsDocument
    """Its metrics on segments that did not give the ranges of the activations."""
    metrics_before: MetricsDocument
    """Metrics of the model on the same segments."""


class BundledCodeDocument(Document):
    """The C code in a bundle."""

    model: str
    """The model file it computes: `model.int8.onnx` if there is one."""
    memory_bytes: int | None
    """Memory that the caller provides, the segment included; null if there is no code."""
    refused: str | None
    """Why there is no code; null if there is."""
    ram_bytes: int | None
    """That memory and 512 bytes for the stack."""
    macs: int | None
    """Multiply-accumulates for one segment."""
    flash_bytes: int | None
    """Code and constants, compiled with -Os for a Cortex-M4F; null if the compiler was missing."""
    instructions: int | None
    """Instructions for one segment on an emulated Cortex-M4F; null if the emulator was missing."""


class WithheldDocument(Document):
    """Figures of a model that gives no answer where it is not confident."""

    coverage: float
    """Share of segments that get an answer."""
    subject_coverage: float
    """The smallest such share of any subject."""
    metrics: MetricsDocument | None
    """Metrics of the answered segments; null if there are none."""


class AbstentionDocument(Document):
    """The confidence below which a model gives no answer."""

    least_confidence: float
    """From .5, at the threshold, to 1."""
    out_of_fold: WithheldDocument
    """Figures on the scores that it was chosen on."""
    test: WithheldDocument | None
    """Figures on the test segments; null without `--test`."""


class MetricsFileDocument(Document):
    """`metrics.json` of a bundle."""

    onnx_bytes: int
    """Size of `model.onnx` in bytes."""
    threshold: float
    """Decision threshold: the lowest score that counts as AFIB."""
    parity: float
    """Largest difference of a logit between ONNX Runtime and PyTorch."""
    test: MetricsDocument | None
    """Metrics on the test segments; null without `--test`."""
    test_looks: int
    """How often models of this study had been evaluated on test segments."""
    abstention: AbstentionDocument | None
    """When it gives no answer; null unless the spec has `finalize.coverage`."""
    latency_ms: float
    """Median time of one segment in ONNX Runtime, with one thread, where the model was finalized."""
    int8: Int8Document | None
    """Its INT8 version; null if that is not smaller."""
    out_of_fold: MetricsDocument
    """Metrics of the new folds' networks on the subjects that each has not seen."""
    search_fbeta: float
    """F-beta in the search."""
    score_curves: ScoreCurvesDocument
    """How well the out-of-fold scores separate the classes and serve as probabilities."""
    c: BundledCodeDocument
    """The C code in the bundle."""
    folds_fbeta: float
    """Mean F-beta over all folds, those of the search and the new ones."""
    robustness: RobustnessDocument
    """Metrics under disturbances, of the new folds' networks on the subjects that each has not seen."""


class SegmentsDocument(Document):
    """A set of segments."""

    fingerprint: str
    """Hash of names and samples."""
    segments: int
    """Number of segments."""


class SubjectsDocument(Document):
    """Hashes (SHA-256) of the names of subjects."""

    train: list[str]
    """Subjects of the training segments."""
    test: list[str]
    """Subjects of the test segments."""


class FileDocument(Document):
    """A file of a bundle."""

    name: str
    """Its name."""
    bytes: int
    """Its size."""
    sha256: str
    """Its SHA-256."""


class ManifestDocument(Document):
    """`manifest.json` of a bundle."""

    atml: str
    """Version of ATML that wrote it."""
    created: str
    """When it was written (ISO 8601, UTC)."""
    study: str
    """Name of the study."""
    trial: int
    """Number of the trial that found its configuration."""
    sizes: list[int]
    """Sizes, in bytes, within which it is the best."""
    architecture: str
    """Name of the architecture."""
    config: dict[str, int | float]
    """Fields of the architecture's config, such as its widths."""
    learning_rate: float
    """Learning rate it was trained with."""
    threshold: float
    """Decision threshold: the lowest score that counts as AFIB."""
    positive: list[str]
    """Annotated rhythms that were labelled AFIB: the class to find."""
    training_data: SegmentsDocument
    """The training segments."""
    test_data: SegmentsDocument | None
    """The test segments; null without `--test`."""
    subjects: SubjectsDocument
    """Hashes that show that no subject is in both."""
    spec: dict[str, Any]
    """The study's spec."""
    recommended: bool
    """Whether it met the targets best of the models that were shipped with it."""
    least_confidence: float | None
    """Below this confidence it gives no answer; null if every segment gets one."""
    files: list[FileDocument]
    """The other files of the bundle."""
    checksum: str
    """SHA-256 of the manifest without this field."""
