"""Pruners for any Optuna study: by bad neighbours, and by a size that is known before training."""

from atml.pruners.neighbourhood import BadTrial, NeighbourhoodPruner, Place
from atml.pruners.reports import report, reported, should_prune
from atml.pruners.size_aware import SizeAwarePruner

__all__ = [
    "BadTrial",
    "NeighbourhoodPruner",
    "Place",
    "SizeAwarePruner",
    "report",
    "reported",
    "should_prune",
]
