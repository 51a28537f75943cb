"""Evaluation of a model's scores: metrics, their intervals, a decision threshold and robustness."""

from atml.evaluation.abstention import Abstention, abstain, confidence, least_confidence_for, trade_off
from atml.evaluation.disturbances import DISTURBANCES
from atml.evaluation.episodes import Episode, EpisodeMetrics, evaluate_episodes
from atml.evaluation.estimate import Estimate, FoldCounts, estimate, fbeta_of_all_afib, metrics_of_folds
from atml.evaluation.evaluate import evaluate
from atml.evaluation.metrics import Metrics
from atml.evaluation.paired import chance_to_be_better
from atml.evaluation.predictive import predictive_values
from atml.evaluation.robustness import DisturbedMetrics, Robustness, even_sample, robustness
from atml.evaluation.score_curves import ScoreCurves, score_curves
from atml.evaluation.threshold import best_threshold

__all__ = [
    "DISTURBANCES",
    "Abstention",
    "DisturbedMetrics",
    "Episode",
    "EpisodeMetrics",
    "Estimate",
    "FoldCounts",
    "Metrics",
    "Robustness",
    "ScoreCurves",
    "abstain",
    "best_threshold",
    "chance_to_be_better",
    "confidence",
    "estimate",
    "evaluate",
    "evaluate_episodes",
    "even_sample",
    "fbeta_of_all_afib",
    "least_confidence_for",
    "metrics_of_folds",
    "predictive_values",
    "robustness",
    "score_curves",
    "trade_off",
]
