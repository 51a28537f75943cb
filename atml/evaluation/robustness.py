"""How much worse a model becomes when a wearable disturbs the signal."""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from atml.ecg import SAMPLING_RATE_HZ
from atml.evaluation.confusion import Floats, count_by_group, or_none
from atml.evaluation.disturbances import DISTURBANCES, Samples
from atml.evaluation.evaluate import roc_auc
from atml.evaluation.labelled import labelled_scores
from atml.evaluation.stored import Stored

# Segments [n, L] float32 → P(AFIB) [n]; some may not be finite, for which `OnnxClassifier.probabilities`
# raises ModelError instead.
Predict = Callable[[Samples], Floats]

MOST_SEGMENTS = 3000
UNDISTURBED = "undisturbed"

FLAT_LINE = "flat_line"
# A device's range is about ten times a beat.
FULL_SCALE = 10.0
# As an integer of 64 bits. Its square still is a number in single precision.
HUGE = 2.0**63


@dataclass(frozen=True, kw_only=True)
class DisturbedMetrics:
    """How well a model does under one disturbance.

    All subjects weigh the same, however many segments they have. F1, F-beta and specificity are at the
    model's own threshold. F-beta alone can mislead: calling everything AFIB keeps it high, but not the
    specificity and the area.
    """

    disturbance: str  #: Name of the disturbance, or `undisturbed`.
    severe: bool  #: Whether it may bury the beats; such disturbances do not count for `robust_fbeta`.
    roc_auc: float | None  #: Area under the ROC curve; None if one class is absent.
    roc_auc_loss: float | None  #: How much smaller the area is than without the disturbance.
    f1: float  #: F1.
    fbeta: float  #: F-beta.
    specificity: float | None  #: Specificity; None if all segments are AFIB.
    not_finite: int  #: Segments without a finite answer, which count as not called AFIB.


@dataclass(frozen=True, kw_only=True)
class UnderDisturbances(Stored):
    """How well a model does under each disturbance."""

    threshold: float  #: Lowest score that counts as AFIB.
    beta: float  #: Beta of F-beta.
    segments: int  #: Number of segments.
    subjects: int  #: Number of subjects.
    undisturbed: DisturbedMetrics  #: The same segments without a disturbance.
    disturbed: tuple[DisturbedMetrics, ...]  #: One entry for each of the 18 disturbances.
    worst: str | None  #: Disturbance with the largest loss of area; None if one class is absent.
    robust_fbeta: float  #: Smallest F-beta of the 16 disturbances that are not severe.


@dataclass(frozen=True, kw_only=True)
class Robustness(UnderDisturbances):
    """How well a model does under each disturbance, and what it answers to extreme segments."""

    extremes: Mapping[str, float | None]  #: P(AFIB) for each extreme segment; None: the answer is not finite.
    finite_on_extremes: bool  #: Whether all answers to extreme segments are finite.
    flat_line_is_afib: bool  #: Whether a flat line is called AFIB; no if that answer is not finite.

    @classmethod
    def of(
        cls, found: UnderDisturbances, extremes: Mapping[str, float | None], *, threshold: float
    ) -> "Robustness":
        """Return `found` with the answers to extreme segments of a model with that decision threshold."""
        flat_line = extremes[FLAT_LINE]
        return cls(
            **vars(found),
            extremes=extremes,
            finite_on_extremes=None not in extremes.values(),
            flat_line_is_afib=flat_line is not None and flat_line >= threshold,
        )


def robustness(
    predict: Predict,
    samples: Samples,
    labels: ArrayLike,
    subjects: ArrayLike,
    *,
    threshold: float,
    beta: float = 2.0,
) -> UnderDisturbances:
    """Return how well `predict` does under each of `DISTURBANCES`.

    `predict` returns P(AFIB) [n] for segments [n, L]; it is asked 19 times. `samples` are [n, L], `labels`
    [n] are 0 or 1 (= AFIB), `subjects` [n] are names. Every disturbance draws from its own generator, which
    depends on its name alone. A network of 4 KB takes 1.5 s of CPU time for 3,000 segments, most of it for
    drawing noise.

    Raises ValueError when lengths differ, nothing is given, or a label is neither 0 nor 1.
    """
    truth, names = np.asarray(labels), np.asarray(subjects)
    if samples.ndim != 2 or not truth.shape == names.shape == (len(samples),):
        raise ValueError(
            "samples must be [n, L], labels and subjects [n], "
            f"but got shapes {samples.shape}, {truth.shape} and {names.shape}."
        )
    segments = np.asarray(samples, np.float32)
    distinct, subject = np.unique(names, return_inverse=True)
    task = _Task(labels=truth, subject=subject, threshold=float(threshold), beta=float(beta))
    undisturbed = task.measure(_asked(predict, segments), UNDISTURBED)
    disturbed = []
    for one in DISTURBANCES:
        # With 0, so that figures compare with those of earlier bundles.
        random = np.random.default_rng([0, zlib.crc32(one.name.encode())])
        scores = _asked(predict, one.apply(segments, random))
        disturbed.append(task.measure(scores, one.name, severe=one.severe, area=undisturbed.roc_auc))
    worst = max(disturbed, key=lambda one: one.roc_auc_loss or 0.0)
    return UnderDisturbances(
        threshold=task.threshold,
        beta=task.beta,
        segments=len(segments),
        subjects=len(distinct),
        undisturbed=undisturbed,
        disturbed=tuple(disturbed),
        worst=None if worst.roc_auc_loss is None else worst.disturbance,
        robust_fbeta=min(one.fbeta for one in disturbed if not one.severe),
    )


def even_sample(subjects: ArrayLike, most: int = MOST_SEGMENTS) -> NDArray[np.int64]:
    """Return the indices, ascending, of at most `most` segments, as evenly by subject as possible.

    `subjects` [N] are names. All subjects give the same number, or all they have, and at least one.
    A subject's segments are evenly spaced in the order given, so rhythms in a row keep their shares.
    """
    _, subject, sizes = np.unique(np.asarray(subjects), return_inverse=True, return_counts=True)
    share = 1
    while share < sizes.max() and np.minimum(sizes, share + 1).sum() <= most:
        share += 1
    members = np.split(np.argsort(subject, kind="stable"), np.cumsum(sizes)[:-1])
    taken = [min(share, own.size) for own in members]
    chosen = [own[np.arange(take) * own.size // take] for own, take in zip(members, taken, strict=True)]
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def answers_to_extremes(
    predict: Predict, *, length: int = 1250, amplitude: float = 1.0
) -> dict[str, float | None]:
    """Return P(AFIB) for each of `extreme_segments`; None where the answer is not finite."""
    segments = extreme_segments(length, amplitude)
    answers = _asked(predict, np.stack(list(segments.values())))
    return {
        name: float(answer) if np.isfinite(answer) else None
        for name, answer in zip(segments, answers, strict=True)
    }


def extreme_segments(length: int, amplitude: float) -> dict[str, Samples]:
    """Return segments [length] that no heart sends but a device may, by name.

    `amplitude` is the usual height of a beat. All samples are finite.
    """
    seconds = np.arange(length) / SAMPLING_RATE_HZ
    # A peak 40 ms wide, 75 times a minute.
    beats = np.exp(-((((seconds % 0.8) - 0.4) / 0.02) ** 2))
    high = np.full(length, FULL_SCALE * amplitude)
    segments = {
        FLAT_LINE: np.zeros(length),
        "line_at_large_constant": np.full(length, 1e6 * amplitude),
        "saturated_high": high,
        "saturated_low": -high,
        "saturated_by_turns": np.where(seconds % 1 < 0.5, high, -high),
        "beats_x1e6": 1e6 * amplitude * beats,
        "beats_x1e-6": 1e-6 * amplitude * beats,
        "huge_beats": HUGE * beats,
    }
    return {name: values.astype(np.float32) for name, values in segments.items()}


def _asked(predict: Predict, segments: Samples) -> Floats:
    # Overflow is an answer here: it shows as a score that is not finite.
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(predict(segments), np.float64)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Task:
    """The truth about segments, and the threshold at which they are called."""

    labels: NDArray[Any]  # [n]
    subject: NDArray[np.int64]  # [n] number of the subject
    threshold: float
    beta: float

    def measure(
        self, scores: Floats, name: str, *, severe: bool = False, area: float | None = None
    ) -> DisturbedMetrics:
        """Return the metrics of `scores` [n]; `area` is the one without the disturbance."""
        finite = np.isfinite(scores)
        positive, score = labelled_scores(self.labels, np.where(finite, scores, 0.0))
        called = finite & (score >= self.threshold)
        counts = count_by_group(self.subject, int(self.subject.max()) + 1, positive, called)
        even = counts.resampled((1 / counts.segments)[None, :])
        own = roc_auc(positive, score, 1 / counts.segments[self.subject])
        return DisturbedMetrics(
            disturbance=name,
            severe=severe,
            roc_auc=own,
            roc_auc_loss=None if own is None else (own if area is None else area) - own,
            f1=float(even.fbeta(1.0)[0]),
            fbeta=float(even.fbeta(self.beta)[0]),
            specificity=or_none(even.specificity[0]),
            not_finite=int((~finite).sum()),
        )
