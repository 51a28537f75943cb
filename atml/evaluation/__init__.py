"""Evaluation of a model's scores: metrics, their intervals and a decision threshold."""

from atml.evaluation.disturbances import DISTURBANCES, Disturbance
from atml.evaluation.estimate import Estimate, FoldCounts, estimate, metrics_of_folds
from atml.evaluation.evaluate import evaluate
from atml.evaluation.metrics import Metrics, RhythmMetrics, SubjectMetrics
from atml.evaluation.threshold import best_threshold

__all__ = [
    "DISTURBANCES",
    "Disturbance",
    "Estimate",
    "FoldCounts",
    "Metrics",
    "RhythmMetrics",
    "SubjectMetrics",
    "best_threshold",
    "estimate",
    "evaluate",
    "metrics_of_folds",
]
