"""How long each search takes until what it would ship stays within .005 of the best network of up to 10 KB.

    python -m tests.benchmarks.search.time_to_best [--seeds 20] [--hours 1] [--only NAME …]

In simulated time, with two workers. A search that does not get there counts as slower than any that does.
"""

import argparse
import multiprocessing
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import optuna
from rich.progress import track

from tests.benchmarks.search.compare import minutes_to, table_of
from tests.benchmarks.search.searchers import SEARCHERS
from tests.benchmarks.search.table import TABLE

LIMIT, WITHIN = 10_000, 0.005
WORKERS = 2


def minutes_of(path, hours, job):
    """Run one search and return its minutes, infinite if it does not get there."""
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    name, seed = job
    table = table_of(path)
    minutes = minutes_to(table, SEARCHERS[name](table, seed, WORKERS, hours * 3600), LIMIT, WITHIN)
    return float("inf") if minutes is None else minutes


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--processes", type=int, default=2)
    known = [name for name in SEARCHERS if name != "Syne Tune, MOASHA"]
    parser.add_argument("--only", nargs="*", choices=known, default=known)
    arguments = parser.parse_args()
    jobs = [(name, seed) for name in arguments.only for seed in range(arguments.seeds)]
    context = multiprocessing.get_context("spawn")
    run = partial(minutes_of, arguments.table, arguments.hours)
    with ProcessPoolExecutor(arguments.processes, mp_context=context) as pool:
        found = list(track(pool.map(run, jobs), total=len(jobs), description="searching"))
    print("| search | minutes: median | quartiles | got there |\n|:--|--:|--:|--:|")
    for start, name in enumerate(arguments.only):
        minutes = np.array(found[start * arguments.seeds : (start + 1) * arguments.seeds])
        # Without interpolation, which is undefined between a number and infinity.
        low, middle, high = np.quantile(minutes, [0.25, 0.5, 0.75], method="higher")
        reached = f"{np.isfinite(minutes).sum()} of {len(minutes)}"
        print(f"| {name} | {middle:.1f} | {low:.1f}, {high:.1f} | {reached} |")


if __name__ == "__main__":
    main()
