"""Trials an hour of one worker and of several, with real training.

    python -m tests.benchmarks.worker_scaling [--train DIR] [--workers 2] [--trials 12] [--rounds 3]

See README.md beside this file for what is compared and how to read it.
"""

import argparse
import os
import statistics
import tempfile
import warnings
from contextlib import ExitStack
from pathlib import Path

import optuna
from rich.console import Console
from rich.progress import track
from rich.table import Table

from atml.ecg import simulate
from atml.service.data import load_training_data
from atml.service.launcher import WorkerPlan, launch
from atml.service.storage import open_storage
from atml.service.studies import create_or_resume
from atml.tuning import records
from atml.tuning.phases import parse_spec
from tests.postgres import PostgresServer


def main():
    arguments = parse_arguments()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="atml-bench-")))
        server = stack.enter_context(PostgresServer(durable=True))
        os.environ["ATML_CACHE"] = f"{folder}/cache"
        if arguments.train is None:
            arguments.train = folder / "segments"
            simulate(arguments.train, subjects=16, segments_per_subject=100)
        rates = measure(folder, server, arguments)
    print_table(rates, arguments)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=Path, help="segments; simulated ones if not given")
    parser.add_argument("--architecture", default="afnet", help="what is trained (default: afnet)")
    parser.add_argument("--size", type=int, default=84_000, help="ONNX bytes of it (default: 84,000)")
    parser.add_argument("--workers", type=int, default=2, help="compared with one (default: 2)")
    parser.add_argument("--trials", type=int, default=12, help="of a search (default: 12)")
    parser.add_argument("--epochs", type=int, default=2, help="of a trial on each of two folds (default: 2)")
    parser.add_argument("--segments", type=int, default=8192, help="of an epoch (default: 8192)")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each (default: 3)")
    return parser.parse_args()


def measure(folder, server, arguments):
    """Return {workers: [trials an hour]}, measured in turns."""
    counts = (1, arguments.workers)
    rates = {count: [] for count in counts}
    turns = [(number, count) for number in range(arguments.rounds) for count in counts]
    for number, count in track(turns, description="searches", transient=True):
        with server.database() as url:
            rates[count].append(trials_an_hour(folder / f"{number}-{count}", url, count, arguments))
    return rates


def trials_an_hour(folder, url, workers, arguments):
    """Run a search whose trials all cost the same, and return its rate once the first worker trains."""
    phase = parse_spec(document(arguments), source="bench")
    storage = open_storage(url)
    study = create_or_resume(storage, phase, load_training_data(phase.data)).study
    launch(study, WorkerPlan(storage=url, artifacts=folder, workers=workers, device="cpu"))
    trained = records.trained(study.trials)
    storage.engine.dispose()
    assert len(trained) == arguments.trials
    first = min(trial.datetime_start for trial in trained)
    last = max(trial.datetime_complete for trial in trained)
    return arguments.trials / (last - first).total_seconds() * 3600


def document(arguments):
    """Return a spec that trains every trial to its end."""
    return {
        "phase": "architecture",
        "name": "bench",
        "data": {"train": str(arguments.train), "folds": 2},
        "search": {
            "architectures": [arguments.architecture],
            "sizes": [arguments.size],
            "learning_rate": {"low": 1e-4, "high": 1e-2, "steps": 4 * arguments.trials},
        },
        "training": {
            "epochs": arguments.epochs,
            "segments_per_epoch": arguments.segments,
        },
        "pruning": {
            "neighbourhood": {"threshold": 0.0},
            "race_chance": 0.0,
            "startup_trials": 10 * arguments.trials,
        },
        "budget": {"trials": arguments.trials},
    }


def print_table(rates, arguments):
    table = Table(title=f"{arguments.trials} trials of {arguments.architecture}, one thread a worker")
    for heading in ("workers", "trials an hour", "least", "most", "times one worker's"):
        table.add_column(heading, justify="right")
    for count, found in rates.items():
        ratio = statistics.median(one / base for one, base in zip(found, rates[1], strict=True))
        figures = (statistics.median(found), min(found), max(found))
        table.add_row(str(count), *(f"{figure:.0f}" for figure in figures), f"{ratio:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
