"""The results of an evaluation."""

from collections.abc import Mapping
from dataclasses import dataclass

from atml.evaluation.episodes import EpisodeMetrics
from atml.evaluation.stored import Stored

_OF_AFIB = ("f1", "fbeta", "precision", "recall", "subject_mean_fbeta", "g")  # without any, they say nothing


@dataclass(frozen=True, kw_only=True)
class SubjectMetrics:
    """How one subject's segments were called.

    For a subject without AFIB, precision, recall, F1 and F-beta are 1 by the contest's rule:
    false alarms there affect only `specificity`.
    """

    subject: str  #: Name of the subject, such as `S47`.
    segments: int  #: Number of segments.
    afib_segments: int  #: Number of segments labelled AFIB.
    f1: float  #: F1; 1 for a subject without AFIB, like `fbeta`, `precision` and `recall`.
    fbeta: float  #: F-beta.
    accuracy: float  #: Fraction of segments called as labelled.
    precision: float  #: Fraction of segments called AFIB that are labelled so.
    recall: float  #: Fraction of AFIB segments called AFIB.
    specificity: float | None  #: Fraction of other segments not called AFIB; None if all are AFIB.
    roc_auc: float | None  #: Area under the ROC curve; None for a subject with one class.

    @property
    def smaller_rate(self) -> float:
        """The smaller of sensitivity and specificity, of those that are defined."""
        recall = self.recall if self.afib_segments else 1.0
        return min(recall, 1.0 if self.specificity is None else self.specificity)


@dataclass(frozen=True, kw_only=True)
class RhythmMetrics:
    """How the segments of one annotated rhythm were called."""

    rhythm: str  #: Rhythm in the file names; empty if they have none.
    segments: int  #: Number of segments.
    called_afib: float  #: Fraction called AFIB.
    accuracy: float  #: Fraction called as labelled.


@dataclass(frozen=True, kw_only=True)
class Metrics(Stored):
    """How well a model separates AFIB from other rhythms at one decision threshold."""

    threshold: float  #: Lowest score that counts as AFIB.
    beta: float  #: Beta of F-beta.
    segments: int  #: Number of segments.
    subjects: int  #: Number of subjects.
    #: F1, pooled over all segments, like the following up to `roc_auc`. Without any AFIB, F1, F-beta,
    #: precision and recall are 0, `subject_mean_fbeta` and `g` are 1, and none of them says anything.
    f1: float
    fbeta: float  #: F-beta.
    accuracy: float  #: Fraction of segments called as labelled.
    precision: float  #: Fraction of segments called AFIB that are labelled so.
    recall: float  #: Fraction of AFIB segments called AFIB.
    specificity: float | None  #: Fraction of other segments not called AFIB; None if there are none.
    roc_auc: float | None  #: Area under the ROC curve; None if one class is absent.
    #: Mean of the subjects' F-beta. A subject without AFIB has 1, so read `specificity` beside it.
    subject_mean_fbeta: float
    g: float  #: Fraction of subjects whose F-beta is above .9.
    per_subject: tuple[SubjectMetrics, ...]  #: Metrics of each subject.
    per_rhythm: tuple[RhythmMetrics, ...]  #: Metrics of each rhythm.
    #: 95 % interval of each metric, from resampled subjects; none if fewer than 6 subjects define it.
    intervals: Mapping[str, tuple[float, float]]
    #: Episode statistics; None unless the segments are consecutive parts of imported recordings.
    episodes: EpisodeMetrics | None = None

    @property
    def subjects_without_afib(self) -> int:
        """How many subjects have no AFIB and therefore an F-beta of 1, whatever they are called."""
        return sum(one.afib_segments == 0 for one in self.per_subject)

    def defined(self, name: str) -> float | None:
        """Return a metric by its name, None where the data do not define it."""
        if name in _OF_AFIB and self.subjects_without_afib == self.subjects:
            return None
        value: float | None = getattr(self, name)
        return value

    @property
    def worst(self) -> float:
        """The smallest of F1, accuracy, precision and recall, used by the neighbourhood rule."""
        return min(self.f1, self.accuracy, self.precision, self.recall)

    @property
    def worst_first(self) -> list[SubjectMetrics]:
        """The subjects, those with the smallest sensitivity or specificity first."""
        return sorted(self.per_subject, key=lambda one: (one.smaller_rate, one.subject))
