"""Draw a study's trials, F-beta over size, as the README shows them.

python -m tests.benchmarks.search.draw_front sqlite:///atml.db STUDY front.svg
"""

import argparse
from pathlib import Path

import matplotlib as mpl

from atml.service.storage import open_storage
from atml.service.studies import load
from atml.tuning import records
from atml.tuning.ranking import contenders, front

mpl.use("Agg")
from matplotlib import pyplot as plt

SHOWN_FROM = 0.80


def draw(study, path):
    """Draw trials that finished the race with their standard errors, the others faintly."""
    trials = [trial for trial in records.trained(study.trials) if records.estimate(trial) is not None]
    finished = contenders(study.trials)
    best = front(finished)
    figure, axis = plt.subplots(figsize=(8, 4.2))
    left = [trial for trial in trials if trial.number not in {one.trial.number for one in finished}]
    sizes, values = [records.onnx_bytes(trial) for trial in left], [records.fbeta(trial) for trial in left]
    axis.scatter(sizes, values, s=14, color="#9aa5b1", label=f"{len(left)} on fewer folds")
    axis.errorbar(
        [one.onnx_bytes for one in finished],
        [one.fbeta for one in finished],
        [one.estimate.standard_error or 0.0 for one in finished],
        fmt="o",
        markersize=4,
        linewidth=0.8,
        label=f"{len(finished)} on all folds, ± standard error",
    )
    axis.step([one.onnx_bytes for one in best], [one.fbeta for one in best], where="post", label="front")
    axis.set(xscale="log", xlabel="ONNX bytes", ylabel="F-beta on unseen subjects", ylim=(SHOWN_FROM, 1.0))
    ticks = [2_000, 4_000, 8_000, 16_000, 32_000]
    axis.set_xticks(ticks, [f"{tick // 1000} KB" for tick in ticks])
    axis.minorticks_off()
    axis.legend(loc="lower right", fontsize=8)
    figure.tight_layout()
    figure.savefig(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("storage")
    parser.add_argument("study")
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    draw(load(open_storage(arguments.storage), arguments.study).study, arguments.out)


if __name__ == "__main__":
    main()
