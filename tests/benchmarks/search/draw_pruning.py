"""Draw what the pruning rules did in a study, as the documentation shows it.

python -m tests.benchmarks.search.draw_pruning sqlite:///atml.db STUDY pruning.svg
"""

import argparse
from pathlib import Path

import matplotlib as mpl
from optuna.trial import TrialState

from atml.service.storage import open_storage
from atml.service.studies import load
from atml.tuning import records
from atml.tuning.records import PrunedBy

mpl.use("Agg")
from matplotlib import pyplot as plt

GREY, ORANGE, BLUE = "#9aa5b1", "#ff7f0e", "#1f77b4"
COLOURS = {PrunedBy.PRUNER: ORANGE, PrunedBy.RACE: GREY, None: BLUE}
SHOWN_FROM = 0.70


def draw(stored, path):
    """Draw the learning curves of the first fold, and how many folds each trial was trained on."""
    trials = [trial for trial in records.trained(stored.study.trials) if fate(trial) in COLOURS]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2))
    first_fold(left, trials)
    folds(right, trials, stored.phase.data.folds)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def fate(trial):
    """Return the rule that ended a trial, None if it finished the race, or "" if something else did."""
    if trial.state == TrialState.COMPLETE:
        return None
    return trial.user_attrs.get(records.PRUNED_BY, "")


def of_fate(trials, rule):
    """Return the trials that one rule ended."""
    return [trial for trial in trials if fate(trial) == rule]


def first_fold(axis, trials):
    """Draw F-beta after each epoch; a line that a rule ended has a cross."""
    for rule in (PrunedBy.RACE, None, PrunedBy.PRUNER):
        chosen = of_fate(trials, rule)
        for trial in chosen:
            values = [point.fbeta for point in records.curve(trial) if point.fold == 0]
            epochs = range(1, len(values) + 1)
            axis.plot(epochs, values, color=COLOURS[rule], linewidth=0.6, alpha=0.7)
            if rule == PrunedBy.PRUNER:
                axis.plot(len(values), values[-1], "x", color=ORANGE, markersize=5)
    ended = len(of_fate(trials, PrunedBy.PRUNER))
    axis.plot([], [], "x-", color=ORANGE, label=f"{ended} ended: worse than trials of their size or less")
    axis.plot([], [], "-", color=GREY, label="finished the first fold")
    axis.plot([], [], "-", color=BLUE, label="finished all folds")
    axis.set(xlabel="epoch of the first fold", ylabel="F-beta on unseen subjects", ylim=(SHOWN_FROM, 1))
    axis.legend(fontsize=8, loc="lower right")


def folds(axis, trials, most):
    """Draw the number of folds over the size; trials at one place are side by side."""
    for rule, name in ((PrunedBy.RACE, "left the race"), (None, "finished it")):
        chosen = of_fate(trials, rule)
        sizes = [records.onnx_bytes(trial) for trial in chosen]
        counts = [records.estimate(trial).folds for trial in chosen]
        heights = [count + 0.04 * (index % 9 - 4) for index, count in enumerate(counts)]
        axis.plot(sizes, heights, "o", color=COLOURS[rule], markersize=3.5, label=f"{len(chosen)} {name}")
    axis.set(xscale="log", xlabel="ONNX bytes", ylabel="folds that the trial was trained on")
    axis.set_yticks(range(1, most + 1))
    axis.set_xticks([2000 * 2**power for power in range(5)], [f"{2 * 2**power} KB" for power in range(5)])
    axis.xaxis.set_minor_locator(mpl.ticker.NullLocator())
    axis.legend(fontsize=8, loc="center right")


def main():
    """Draw the study that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("storage")
    parser.add_argument("study")
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()
    draw(load(open_storage(arguments.storage), arguments.study), arguments.picture)


if __name__ == "__main__":
    main()
