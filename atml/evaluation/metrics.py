"""The results of an evaluation."""

from collections.abc import Mapping
from dataclasses import dataclass

from atml.evaluation.episodes import EpisodeMetrics
from atml.evaluation.stored import Stored


@dataclass(frozen=True, kw_only=True)
class SubjectMetrics:
    """How one subject's segments were called.

    For a subject without AFIB, precision, recall, F1 and F-beta are 1 by the contest's rule:
    false alarms there affect only `specificity`. `specificity` is None for a subject with AFIB
    only, `roc_auc` for a subject with one class.
    """

    subject: str
    segments: int
    afib_segments: int
    f1: float
    fbeta: float
    accuracy: float
    precision: float
    recall: float
    specificity: float | None
    roc_auc: float | None

    @property
    def smaller_rate(self) -> float:
        """The smaller of sensitivity and specificity, of those that are defined."""
        recall = self.recall if self.afib_segments else 1.0
        return min(recall, 1.0 if self.specificity is None else self.specificity)


@dataclass(frozen=True, kw_only=True)
class RhythmMetrics:
    """How the segments of one annotated rhythm were called; the empty rhythm is unannotated."""

    rhythm: str
    segments: int
    called_afib: float
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class Metrics(Stored):
    """How well a model separates AFIB from other rhythms at one decision threshold.

    `f1` to `roc_auc` are pooled over all segments. `subject_mean_fbeta` is the mean of the
    subjects' F-beta and `g` the share of subjects whose F-beta is above .9, both under the
    contest's rule for subjects without AFIB (see SubjectMetrics), so read `specificity` beside
    them. `intervals` maps the name of a metric to its 95 % interval, (low, high); it is empty when
    there are too few subjects to resample. `specificity` and `roc_auc` are None when the class
    they need is absent. `episodes` is None unless the segments follow each other in known recordings.
    """

    threshold: float
    beta: float
    segments: int
    subjects: int
    f1: float
    fbeta: float
    accuracy: float
    precision: float
    recall: float
    specificity: float | None
    roc_auc: float | None
    subject_mean_fbeta: float
    g: float
    per_subject: tuple[SubjectMetrics, ...]
    per_rhythm: tuple[RhythmMetrics, ...]
    intervals: Mapping[str, tuple[float, float]]
    episodes: EpisodeMetrics | None = None

    @property
    def worst(self) -> float:
        """The smallest of F1, accuracy, precision and recall, used by the neighbourhood rule."""
        return min(self.f1, self.accuracy, self.precision, self.recall)

    @property
    def worst_first(self) -> list[SubjectMetrics]:
        """The subjects, those with the smallest sensitivity or specificity first."""
        return sorted(self.per_subject, key=lambda one: (one.smaller_rate, one.subject))
