"""Evaluation of a model's scores: metrics, their intervals, a decision threshold and robustness."""

from atml.evaluation.abstention import Abstention, abstain, confidence, least_confidence_for, trade_off
from atml.evaluation.disturbances import DISTURBANCES, Disturbance
from atml.evaluation.episodes import Episode, EpisodeCounts, EpisodeMetrics, evaluate_episodes, find_episodes
from atml.evaluation.estimate import Estimate, FoldCounts, estimate, fbeta_of_all_afib, metrics_of_folds
from atml.evaluation.evaluate import evaluate
from atml.evaluation.metrics import Metrics, RhythmMetrics, SubjectMetrics
from atml.evaluation.paired import chance_to_be_better
from atml.evaluation.predictive import PredictiveValues, predictive_values
from atml.evaluation.robustness import (
    DisturbedMetrics,
    Robustness,
    answers_to_extremes,
    even_sample,
    robustness,
)
from atml.evaluation.score_curves import ReliabilityBin, ScoreCurves, score_curves
from atml.evaluation.threshold import best_threshold

__all__ = [
    "DISTURBANCES",
    "Abstention",
    "Disturbance",
    "DisturbedMetrics",
    "Episode",
    "EpisodeCounts",
    "EpisodeMetrics",
    "Estimate",
    "FoldCounts",
    "Metrics",
    "PredictiveValues",
    "ReliabilityBin",
    "RhythmMetrics",
    "Robustness",
    "ScoreCurves",
    "SubjectMetrics",
    "abstain",
    "answers_to_extremes",
    "best_threshold",
    "chance_to_be_better",
    "confidence",
    "estimate",
    "evaluate",
    "evaluate_episodes",
    "even_sample",
    "fbeta_of_all_afib",
    "find_episodes",
    "least_confidence_for",
    "metrics_of_folds",
    "predictive_values",
    "robustness",
    "score_curves",
    "trade_off",
]
