"""Segments on disk."""

from typing import Any

from atml.cli.schemas.document import Document


class ProblemDocument(Document):
    """What is wrong with one file."""

    file: str
    """Name of the file."""
    text: str
    """What is wrong and what to do."""
    line: int | None
    """The line; null if the whole file is meant."""


class CheckedDirectoryDocument(Document):
    """The segments of a directory and their problems."""

    directory: str
    """The directory."""
    segments: int
    """Number of well-formed segments."""
    segment_length: int
    """Samples of a segment."""
    counts: dict[str, dict[str, int]]
    """Number of segments by subject and rhythm."""
    problems: list[ProblemDocument]
    """Files that cannot be used, sorted by name."""
    ignored: list[str]
    """Files and directories that are obviously not segments."""
    fingerprint: str
    """Hash of names and samples; the same on every machine."""


class AuditNetworkDocument(Document):
    """One of the networks that an audit trains."""

    architecture: str
    """Name of the architecture."""
    onnx_bytes: int
    """Size of its model file in bytes."""
    threshold: float
    """The best threshold for these labels."""
    roc_auc: float
    """Area under the ROC curve on unseen subjects."""


class SuspiciousDocument(Document):
    """A segment whose label all networks contradict."""

    file: str
    """Name of the file."""
    subject: str
    """Its subject."""
    rhythm: str
    """Its rhythm."""
    label: str
    """Its label, AFIB or Normal."""
    scores: list[float]
    """P(AFIB) by each network."""
    mean: float
    """Mean of the scores."""


class AuditSubjectDocument(Document):
    """How many labels of one subject are suspicious."""

    subject: str
    """Name of the subject."""
    segments: int
    """Number of segments."""
    suspicious_afib: int
    """Suspicious segments labelled AFIB."""
    suspicious_normal: int
    """Suspicious segments labelled Normal."""


class AuditDocument(Document):
    """Labels that are probably wrong."""

    directory: str
    """The directory."""
    segments: int
    """Number of segments."""
    confidence: float
    """Lowest probability of the other class that makes a label suspicious."""
    networks: list[AuditNetworkDocument]
    """The networks."""
    suspicious: list[SuspiciousDocument]
    """The most suspicious segments first."""
    subjects: list[AuditSubjectDocument]
    """All subjects, those with the most suspicious labels first."""
    csv: str
    """File with the list."""
    pages: list[str]
    """Pages of ECGs of the worst subjects."""


class SimulationDocument(Document):
    """Simulated segments."""

    directory: str
    """Where they were written."""
    subjects: int
    """Number of subjects."""
    segments: int
    """Number of segments."""
    rhythms: dict[str, int]
    """Number of segments by rhythm."""


class RecordDocument(Document):
    """A recording and what was taken from it."""

    record: str
    """Name of the recording."""
    subject: str
    """Subject in the names of its segments, such as `S12`."""
    person: str
    """What the source calls the subject."""
    channel: str
    """The channel that was read."""
    unit: str
    """`mV`, or empty if the source's unit is not a voltage."""
    rate_hz: float
    """Sampling rate of the source."""
    seconds: float
    """Length."""
    missing_seconds: float
    """Length of gaps and flat lines."""
    segments: int
    """Number of segments made of it."""


class SkippedRecordDocument(ProblemDocument):
    """A record that cannot be used."""

    unreadable: bool
    """Whether the operating system denied access."""


class ImportDocument(Document):
    """Segments made of recordings."""

    directory: str
    """Where they were written."""
    format: str
    """Format of the recordings."""
    segments: int
    """Number of segments."""
    positive: list[str]
    """Rhythms that are the class to find."""
    positive_segments: int
    """Number of their segments."""
    rhythms: dict[str, int]
    """Number of segments by rhythm, as the source names it."""
    records: list[RecordDocument]
    """The recordings."""
    notes: list[str]
    """What to check."""
    skipped: list[SkippedRecordDocument]
    """Records left out with `--skip-bad`."""


class FetchedDocument(Document):
    """A downloaded database."""

    directory: str
    """Where its files are."""
    database: str
    """Its name."""
    files: int
    """Number of files."""
    records: int
    """Number of recordings."""
    downloaded_bytes: int
    """Bytes downloaded by this call."""
    licence: str
    """Its licence."""


class RhythmCountDocument(Document):
    """The segments of one rhythm."""

    rhythm: str
    """As the source names it."""
    afib: bool
    """Whether it is the class to find."""
    segments: int
    """Number of segments."""
    subjects: int
    """Number of subjects that have it."""


class ContentsDocument(Document):
    """What a directory of segments, or one segment, holds."""

    path: str
    """The directory or file."""
    segments: int
    """Number of segments."""
    subjects: int
    """Number of subjects."""
    samples: int
    """Samples of a segment."""
    problems: int
    """Files that cannot be used."""
    rhythms: list[RhythmCountDocument]
    """The most frequent first."""
    provenance: dict[str, Any] | None
    """`provenance.json` of imported segments; null for others."""
