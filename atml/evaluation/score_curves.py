"""The ROC curve and the calibration of scores, as the few figures that a picture needs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from atml.evaluation.confusion import Floats
from atml.evaluation.labelled import labelled_scores
from atml.evaluation.stored import Stored

BINS = 10  # of equal width
MOST_ROC_POINTS = 200


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """The segments whose score is within a range."""

    low: float  #: Lower end of the range.
    high: float  #: Upper end of the range.
    segments: int  #: Number of segments.
    mean_score: float  #: Mean of their scores.
    afib_share: float  #: Fraction labelled AFIB.


@dataclass(frozen=True, kw_only=True)
class ScoreCurves(Stored):
    """How well scores separate the classes, and how well they serve as probabilities."""

    segments: int  #: Number of segments.
    afib_share: float  #: Fraction labelled AFIB.
    #: Pairs (false positive rate, true positive rate) from (0, 0) to (1, 1); empty if one class is absent.
    roc: tuple[tuple[float, float], ...]
    reliability: tuple[ReliabilityBin, ...]  #: Ranges of the score; those without segments are omitted.
    brier: float  #: Mean squared difference of score and label (Brier 1950).
    #: Expected calibration error (Naeini et al. 2015): mean over `reliability`, weighted by segments, of the
    #: absolute difference of `mean_score` and `afib_share`.
    calibration_error: float


def score_curves(labels: ArrayLike, scores: ArrayLike) -> ScoreCurves:
    """Return the curves of scores that the model was not trained on.

    `labels` [n] are 0 or 1 (= AFIB), `scores` [n] are P(AFIB). Of the ROC curve at most 200 points are kept,
    evenly spaced along it. Raises ValueError as `evaluate` does.
    """
    positive, score = labelled_scores(labels, scores)
    reliability = _reliability(positive, score)
    gaps = [one.segments * abs(one.mean_score - one.afib_share) for one in reliability]
    return ScoreCurves(
        segments=positive.size,
        afib_share=float(positive.mean()),
        roc=_roc(positive, score),
        reliability=reliability,
        brier=float(((score - positive) ** 2).mean()),
        calibration_error=float(sum(gaps) / positive.size),
    )


def _reliability(positive: NDArray[np.bool_], score: Floats) -> tuple[ReliabilityBin, ...]:
    place = np.clip((score * BINS).astype(np.int64), 0, BINS - 1)
    counts = np.bincount(place, minlength=BINS)
    sums = np.bincount(place, weights=score, minlength=BINS)
    afib = np.bincount(place[positive], minlength=BINS)
    return tuple(
        ReliabilityBin(
            low=i / BINS,
            high=(i + 1) / BINS,
            segments=int(counts[i]),
            mean_score=float(sums[i] / counts[i]),
            afib_share=float(afib[i] / counts[i]),
        )
        for i in np.flatnonzero(counts)
    )


def _roc(positive: NDArray[np.bool_], score: Floats) -> tuple[tuple[float, float], ...]:
    if positive.all() or not positive.any():
        return ()
    # Late: importing scikit-learn takes longer than most evaluations.
    from sklearn.metrics import roc_curve

    false_rate, true_rate, _ = roc_curve(positive, score)
    along = false_rate + true_rate  # grows from 0 to 2
    kept = np.unique(np.searchsorted(along, np.linspace(0, 2, MOST_ROC_POINTS)).clip(max=along.size - 1))
    return tuple((round(float(false_rate[i]), 5), round(float(true_rate[i]), 5)) for i in kept)
