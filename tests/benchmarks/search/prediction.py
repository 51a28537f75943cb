"""How well a search's estimate predicts subjects it has not seen.

    python -m tests.benchmarks.search.prediction

One fold after the other stands for new subjects: each way of scoring a candidate sees the other folds only,
and is compared by rank with the candidate's subject-mean F2 on that fold, over all points and over the best
quarter of them.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from atml.evaluation import estimate, metrics_of_folds
from atml.evaluation.estimate import THRESHOLDS
from tests.benchmarks.search.table import TABLE, load


def on_one_fold(table, point, held_out):
    """F-beta of the last epoch on one fold, at the best threshold."""
    fold = (held_out + 1) % table.folds
    return estimate([table.fits[point, fold].counts]).fbeta


def best_epoch_of_one_fold(table, point, held_out):
    """F-beta of the best epoch on one fold."""
    return float(table.fits[point, (held_out + 1) % table.folds].fbeta.max())


def others(table, point, held_out):
    return [table.fits[point, fold].counts for fold in range(table.folds) if fold != held_out]


def fixed_threshold(table, point, held_out):
    """The mean over the other folds at the threshold 1 / (1 + beta²)."""
    at = THRESHOLDS.index(0.2)
    return float(np.mean([one.fbeta(2.0)[at] for one in others(table, point, held_out)]))


def racing_estimate(table, point, held_out):
    """The mean over the other folds at one threshold that suits the scores: what ATML ranks by."""
    return estimate(others(table, point, held_out)).fbeta


def subject_mean(table, point, held_out):
    """The mean over the other folds' subjects of F-beta."""
    known = estimate(others(table, point, held_out))
    return metrics_of_folds(others(table, point, held_out), threshold=known.threshold).subject_mean_fbeta


WAYS = (best_epoch_of_one_fold, on_one_fold, fixed_threshold, racing_estimate, subject_mean)


def truth(table, point, held_out):
    """Return subject-mean F2 on the held-out fold at the threshold that the others chose."""
    threshold = estimate(others(table, point, held_out)).threshold
    return metrics_of_folds([table.fits[point, held_out].counts], threshold=threshold).subject_mean_fbeta


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path, default=TABLE)
    table = load(parser.parse_args().table)
    points = [p for p in range(len(table.grid.points)) if table.truth[p] > 0]
    leaders = sorted(points, key=lambda p: -table.truth[p])[: len(points) // 4]
    print(
        f"{len(points)} points, {len(leaders)} leaders; "
        f"Spearman's rank correlation, mean over {table.folds} folds\n"
    )
    print("| score | all | leaders |\n|:--|--:|--:|")
    for way in WAYS:
        rows = []
        for some in (points, leaders):
            rows.append(
                np.mean(
                    [
                        spearmanr(
                            [way(table, p, held_out) for p in some], [truth(table, p, held_out) for p in some]
                        ).statistic
                        for held_out in range(table.folds)
                    ]
                )
            )
        print(f"| {way.__doc__.splitlines()[0]} | {rows[0]:.2f} | {rows[1]:.2f} |")


if __name__ == "__main__":
    main()
