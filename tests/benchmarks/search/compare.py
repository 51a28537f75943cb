"""Compare ATML's search with others on the table, in simulated time.

    python -m tests.benchmarks.search.compare [--seeds 100] [--workers 2] [--processes 2] [--out FOLDER]

Prints the medians over the seeds and, with --out, writes them as Markdown and a picture. Every search is kept
there as soon as it has ended, so the command goes on where it was stopped. See README.md beside this
file for what is compared and how to read it.
"""

import argparse
import json
import multiprocessing
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import optuna
from rich.progress import track

from tests.benchmarks.search.searchers import SEARCHERS, SIZES, shipped
from tests.benchmarks.search.table import TABLE, load

MINUTES = (2, 4, 8, 16)
FLOOR = 0.80  # of the hypervolume, in F-beta
CEILING_BYTES = 200_000


@lru_cache(maxsize=1)
def table_of(path):
    """Read the table once a process."""
    return load(path)


def simplify(value):
    """Return JSON's own numbers."""
    return round(float(value), 6)


def run(job):
    """Run one search and return its regret and hypervolume at every time."""
    path, name, seed, workers = job
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    table = table_of(path)
    shown = SEARCHERS[name](table, seed, workers, MINUTES[-1] * 60)
    found = {}
    for minutes in MINUTES:
        points = {limit: shipped(shown, limit, minutes * 60) for limit in SIZES}
        regret = [table.best(limit) - fbeta_of(table, point) for limit, point in points.items()]
        found[minutes] = {
            "regret": [simplify(one) for one in regret],
            "hypervolume": simplify(hypervolume(table, shown, minutes * 60)),
        }
    return name, seed, found


def fbeta_of(table, point):
    """Return what a shipped point is worth; a search with nothing to ship has F-beta 0."""
    return 0.0 if point is None else table.truth[point]


def hypervolume(table, shown, seconds):
    """Return the area that the models which a search would ship at every size cover.

    F-beta above .80 times the doublings by which a model is smaller than 200 KB. The search chooses the
    models by what it knows; they count by their mean over all folds.
    """
    limits = np.unique(table.grid.onnx_bytes)
    area, covered = 0.0, 0.0
    for limit in sorted(limits.tolist(), reverse=True):
        point = shipped(shown, limit, seconds)
        if point is None:
            break
        doublings = np.log2(CEILING_BYTES / table.grid.onnx_bytes[point])
        height = max(0.0, table.truth[point] - FLOOR)
        if doublings > covered:
            area += height * (doublings - covered)
            covered = doublings
    return area


def minutes_to(table, shown, limit, within):
    """Return the minutes until a search would ship a model within `within` of the best, for good."""
    goal = table.best(limit) - within
    times = sorted({one.seconds for one in shown})
    since = None
    for seconds in times:
        good = fbeta_of(table, shipped(shown, limit, seconds)) >= goal
        since = (since or seconds) if good else None
    return None if since is None else since / 60


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--processes", type=int, default=2)
    known = [name for name in SEARCHERS if name != "Syne Tune, MOASHA" or find_spec("syne_tune")]
    parser.add_argument("--only", nargs="*", choices=known, default=known)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    kept = arguments.out and arguments.out / "searches.jsonl"
    if kept:
        arguments.out.mkdir(parents=True, exist_ok=True)
    done = read_searches(kept)
    jobs = [(arguments.table, name, seed, arguments.workers) for seed in seeds for name in arguments.only]
    missing = [job for job in jobs if job[1:3] not in done]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(arguments.processes, mp_context=context) as pool:
        for name, seed, found in track(pool.map(run, missing), total=len(missing), description="searching"):
            done[name, seed] = found
            if kept:
                with kept.open("a") as file:
                    file.write(json.dumps([name, seed, found]) + "\n")
    results = {name: [done[name, seed] for seed in seeds] for name in arguments.only}
    text = as_markdown(results)
    print(text)
    if arguments.out:
        (arguments.out / "comparison.md").write_text(text)
        draw(results, arguments.out / "comparison.svg")


def read_searches(path):
    """Return the searches that an earlier call has kept, by name and seed."""
    if path is None or not path.exists():
        return {}
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return {
        (name, seed): {int(minutes): one for minutes, one in found.items()} for name, seed, found in lines
    }


def median(results, minutes, figure, index=None):
    values = [one[minutes][figure] if index is None else one[minutes][figure][index] for one in results]
    return float(np.median(values))


def as_markdown(results):
    """Return the medians as a table."""
    heads = [f"≤ {limit // 1000} KB" for limit in SIZES]
    seeds = len(next(iter(results.values())))
    lines = [
        f"Median regret of the shipped model over {seeds} seeds, and hypervolume.",
        "",
        "| minutes | search | " + " | ".join(heads) + " | hypervolume |",
        "|--:|:--|" + "--:|" * (len(heads) + 1),
    ]
    for minutes in MINUTES:
        for name, found in results.items():
            regret = [f"{median(found, minutes, 'regret', i):.4f}" for i in range(len(SIZES))]
            volume = f"{median(found, minutes, 'hypervolume'):.3f}"
            lines.append(f"| {minutes} | {name} | " + " | ".join(regret) + f" | {volume} |")
    return "\n".join(lines) + "\n"


def draw(results, path):
    """Draw regret over time at every size, medians with quartiles."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(SIZES), figsize=(14, 3.8), sharey=True)
    for index, (limit, axis) in enumerate(zip(SIZES, axes, strict=True)):
        for name, found in results.items():
            values = np.array([[one[minutes]["regret"][index] for minutes in MINUTES] for one in found])
            low, middle, high = np.quantile(np.maximum(values, 2e-4), [0.25, 0.5, 0.75], axis=0)
            (line,) = axis.plot(MINUTES, middle, marker="o", label=name)
            axis.fill_between(MINUTES, low, high, alpha=0.12, color=line.get_color())
        axis.set(title=f"≤ {limit // 1000} KB", xlabel="simulated minutes", xscale="log", yscale="log")
        axis.set_xticks(MINUTES, [str(minutes) for minutes in MINUTES])
        axis.minorticks_off()
        axis.set_ylim(2e-4, 0.2)
    axes[0].set_ylabel("regret in F2 (median, quartiles)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="lower center", ncols=len(results), fontsize=8)
    figure.tight_layout(rect=(0, 0.07, 1, 1))
    figure.savefig(path)


if __name__ == "__main__":
    main()
