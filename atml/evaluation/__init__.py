"""Evaluation of a model's scores: metrics, their intervals and a decision threshold."""

from atml.evaluation.estimate import Estimate, FoldCounts, estimate, metrics_of_folds
from atml.evaluation.evaluate import evaluate
from atml.evaluation.metrics import Metrics, RhythmMetrics, SubjectMetrics
from atml.evaluation.paired import chance_to_be_better
from atml.evaluation.threshold import best_threshold

__all__ = [
    "Estimate",
    "FoldCounts",
    "Metrics",
    "RhythmMetrics",
    "SubjectMetrics",
    "best_threshold",
    "chance_to_be_better",
    "estimate",
    "evaluate",
    "metrics_of_folds",
]
