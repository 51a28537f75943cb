"""Segments on disk."""

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
