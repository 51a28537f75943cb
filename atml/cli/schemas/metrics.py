"""Metrics of a model."""

from atml.cli.schemas.document import Document


class SubjectDocument(Document):
    """How one subject's segments were called."""

    subject: str
    """Name of the subject, such as `S47`."""
    segments: int
    """Number of segments."""
    afib_segments: int
    """Number of segments labelled AFIB."""
    f1: float
    """F1; 1 for a subject without AFIB, like `fbeta`, `precision` and `recall`."""
    fbeta: float
    """F-beta."""
    accuracy: float
    """Fraction of segments called as labelled."""
    precision: float
    """Fraction of segments called AFIB that are labelled so."""
    recall: float
    """Fraction of AFIB segments called AFIB."""
    specificity: float | None
    """Fraction of other segments not called AFIB; null for a subject with AFIB only."""
    roc_auc: float | None
    """Area under the ROC curve; null for a subject with one class."""


class RhythmDocument(Document):
    """How the segments of one annotated rhythm were called."""

    rhythm: str
    """Rhythm in the file names; empty if they have none."""
    segments: int
    """Number of segments."""
    called_afib: float
    """Fraction called AFIB."""
    accuracy: float
    """Fraction called as labelled."""


class EpisodeCountsDocument(Document):
    """How well annotated AFIB episodes are found; a rate is null where it would divide by 0."""

    subject: str
    """Name of the subject; empty for all together."""
    annotated_episodes: int
    """Number of annotated episodes: sequences of consecutive segments labelled AFIB."""
    detected_episodes: int
    """Number of them of which any part is called AFIB."""
    called_episodes: int
    """Number of called episodes: sequences of consecutive segments called AFIB."""
    right_episodes: int
    """Number of them of which any part is labelled AFIB."""
    annotated_seconds: float
    """Duration labelled AFIB."""
    called_seconds: float
    """Duration called AFIB."""
    right_seconds: float
    """Duration both labelled and called AFIB."""
    sensitivity: float | None
    """`detected_episodes` / `annotated_episodes`."""
    positive_predictivity: float | None
    """`right_episodes` / `called_episodes`."""
    duration_sensitivity: float | None
    """`right_seconds` / `annotated_seconds`."""
    duration_positive_predictivity: float | None
    """`right_seconds` / `called_seconds`."""


class EpisodesDocument(Document):
    """Episode statistics after ANSI/AAMI EC57."""

    pooled: EpisodeCountsDocument
    """Of all recordings together."""
    per_subject: list[EpisodeCountsDocument]
    """Of each subject."""


class MetricsDocument(Document):
    """How well a model separates AFIB from other rhythms at one decision threshold."""

    threshold: float
    """Lowest score that counts as AFIB."""
    beta: float
    """Beta of F-beta."""
    segments: int
    """Number of segments."""
    subjects: int
    """Number of subjects."""
    f1: float
    """F1, pooled over all segments, like the following up to `roc_auc`."""
    fbeta: float
    """F-beta."""
    accuracy: float
    """Fraction of segments called as labelled."""
    precision: float
    """Fraction of segments called AFIB that are labelled so."""
    recall: float
    """Fraction of AFIB segments called AFIB."""
    specificity: float | None
    """Fraction of other segments not called AFIB; null if there are none."""
    roc_auc: float | None
    """Area under the ROC curve; null if one class is absent."""
    subject_mean_fbeta: float
    """Mean of the subjects' F-beta. A subject without AFIB has 1, so read `specificity` beside it."""
    g: float
    """Fraction of subjects whose F-beta is above .9."""
    per_subject: list[SubjectDocument]
    """Metrics of each subject."""
    per_rhythm: list[RhythmDocument]
    """Metrics of each rhythm."""
    intervals: dict[str, tuple[float, float]]
    """95 % interval of each metric, from resampled subjects; empty if there are too few."""
    episodes: EpisodesDocument | None
    """Episode statistics; null unless the segments are consecutive parts of imported recordings."""


class DisturbedDocument(Document):
    """How well a model does under one disturbance, at its own threshold; every subject weighs the same."""

    disturbance: str
    """Name of the disturbance, or `undisturbed`."""
    severe: bool
    """Whether it may bury the beats; such disturbances do not count for `robust_fbeta`."""
    roc_auc: float | None
    """Area under the ROC curve; null if one class is absent."""
    roc_auc_loss: float | None
    """How much smaller the area is than without the disturbance."""
    f1: float
    """F1."""
    fbeta: float
    """F-beta."""
    specificity: float | None
    """Specificity; null if all segments are AFIB."""
    not_finite: int
    """Segments without a finite answer, which count as not called AFIB."""


class RobustnessDocument(Document):
    """How well a model does under each disturbance, and what it answers to extreme segments."""

    threshold: float
    """Lowest score that counts as AFIB."""
    beta: float
    """Beta of F-beta."""
    seed: int
    """Seed of the disturbances."""
    segments: int
    """Number of segments."""
    subjects: int
    """Number of subjects."""
    undisturbed: DisturbedDocument
    """The same segments without a disturbance."""
    disturbed: list[DisturbedDocument]
    """One entry for each of the 18 disturbances."""
    extremes: dict[str, float | None]
    """P(AFIB) for each extreme segment; null if the answer is not finite."""
    worst: str | None
    """Disturbance with the largest loss of area; null if one class is absent."""
    robust_fbeta: float
    """Smallest F-beta of the disturbances that are not severe."""
    finite_on_extremes: bool
    """Whether all answers to extreme segments are finite."""
    flat_line_is_afib: bool
    """Whether a flat line is called AFIB."""


class ReliabilityDocument(Document):
    """The segments whose score is within a range."""

    low: float
    """Lower end of the range."""
    high: float
    """Upper end of the range."""
    segments: int
    """Number of segments."""
    mean_score: float
    """Mean of their scores."""
    afib_share: float
    """Fraction labelled AFIB."""


class ScoreCurvesDocument(Document):
    """How well scores separate the classes, and how well they serve as probabilities."""

    segments: int
    """Number of segments."""
    afib_share: float
    """Fraction labelled AFIB."""
    roc: list[tuple[float, float]]
    """Pairs (false positive rate, true positive rate); empty if one class is absent."""
    reliability: list[ReliabilityDocument]
    """Ten ranges of the score; those without segments are omitted."""
    brier: float
    """Mean squared difference of score and label."""
    calibration_error: float
    """Expected calibration error: mean over the ranges, weighted by segments, of |mean score -
    AFIB share|."""
