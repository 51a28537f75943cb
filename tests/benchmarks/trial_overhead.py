"""What a trial costs besides training, and what its size costs before it, beside plain Optuna.

    python -m tests.benchmarks.trial_overhead [--trials 30]

See README.md beside this file for what is compared and how to read it.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import optuna
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from atml.ecg import simulate
from atml.export import to_onnx
from atml.models import ARCHITECTURES
from atml.service.artifacts import keep_files, open_artifacts
from atml.service.data import load_training_data
from atml.service.storage import open_storage
from atml.service.studies import create_or_resume
from atml.tuning import records
from atml.tuning.fit import Trainer
from atml.tuning.objective import Objective
from atml.tuning.phases import parse_spec
from atml.tuning.proposal import Proposal
from atml.tuning.sizes import size_before_training

LENGTH = 1250
SIZES = [4_000, 8_000, 16_000]


def main():
    arguments = parse_arguments()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sizes = measure_sizes(arguments.rounds)
    with tempfile.TemporaryDirectory(prefix="atml-bench-") as folder:
        trials = measure_trials(Path(folder), arguments.trials)
    print_tables(sizes, trials)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=30, help="of each kind (default: 30)")
    parser.add_argument("--rounds", type=int, default=5, help="sizes of each architecture (default: 5)")
    return parser.parse_args()


def measure_sizes(rounds):
    """Return {architecture: seconds of each size}; the cache is emptied before each."""
    found = {}
    to_onnx(ARCHITECTURES["linear"].build(ARCHITECTURES["linear"].default(), LENGTH), segment_length=LENGTH)
    for name, architecture in track(ARCHITECTURES.items(), description="sizes", transient=True):
        found[name] = []
        for _ in range(rounds):
            size_before_training.cache_clear()
            proposal = Proposal(architecture=architecture, config=architecture.default(), learning_rate=1e-3)
            start = time.perf_counter()
            size_before_training(proposal, LENGTH)
            found[name].append(time.perf_counter() - start)
    return found


def measure_trials(folder, count):
    """Return the seconds besides training of each trial, ATML's and a plain Optuna trial in turns."""
    simulate(folder / "data", subjects=8, segments_per_subject=32)
    storage = open_storage(f"sqlite:///{folder}/bench.db")
    phase = bench_phase(folder, count)
    dataset = load_training_data(phase.data)
    stored = create_or_resume(storage, phase, dataset)
    study = stored.study
    study.sampler = stored.phase.sampler(0, stored.grid)
    objective = Objective(
        phase=stored.phase,
        study=study,
        grid=stored.grid,
        trainer=Trainer(stored.phase, dataset, torch.device("cpu")),
        keep=keep_files(open_artifacts(folder / "artifacts")),
    )
    plain = optuna.create_study(storage=f"sqlite:///{folder}/plain.db", directions=["maximize", "minimize"])
    seconds = {"ATML": [], "plain Optuna": []}
    for _ in track(range(count), description="trials", transient=True):
        start = time.perf_counter()
        study.optimize(objective, n_trials=1)
        took = time.perf_counter() - start
        seconds["ATML"].append(took - records.training_seconds(study.get_trials(deepcopy=False)[-1]))
        start = time.perf_counter()
        plain.optimize(plain_objective, n_trials=1)
        seconds["plain Optuna"].append(time.perf_counter() - start)
    return seconds


def bench_phase(folder, count):
    document = {
        "phase": "width",
        "name": "bench",
        "base": {"architectures": ["conv_gru"]},
        "search": {
            "sizes": SIZES,
            "shapes": [1.0],
            "learning_rate": {"low": 1e-3, "high": 1e-2, "steps": count // len(SIZES) + 2},
        },
        "data": {"train": str(folder / "data"), "folds": 2},
        "training": {"epochs": 2, "segments_per_epoch": 128, "batch_size": 64},
        "pruning": {"neighbourhood": {"threshold": 0.0}, "race_chance": 0.0, "startup_trials": 10 * count},
        "budget": {"trials": count},
    }
    return parse_spec(document, source="bench")


def plain_objective(trial):
    """What any Optuna objective with two widths and one attribute costs."""
    channels, hidden = trial.suggest_int("channels", 4, 12), trial.suggest_int("hidden", 8, 24)
    trial.set_user_attr("onnx_bytes", channels * hidden)
    return 1.0 / channels, float(hidden)


def print_tables(sizes, trials):
    console = Console()
    table = Table(title="ONNX size before training")
    for heading in ("architecture", "median ms", "slowest ms"):
        table.add_column(heading, justify="left" if heading == "architecture" else "right")
    for name, seconds in sizes.items():
        table.add_row(name, f"{statistics.median(seconds) * 1e3:.0f}", f"{max(seconds) * 1e3:.0f}")
    console.print(table)
    table = Table(title="a trial besides training (ask, build, size, store, export, parity, artifact, tell)")
    for heading in ("", "median ms", "slowest ms", "÷ plain"):
        table.add_column(heading, justify="left" if not heading else "right")
    baseline = statistics.median(trials["plain Optuna"])
    for name, seconds in trials.items():
        middle = statistics.median(seconds)
        cells = (f"{middle * 1e3:.0f}", f"{max(seconds) * 1e3:.0f}", f"{middle / baseline:.1f}")
        table.add_row(name, *cells)
    console.print(table)


if __name__ == "__main__":
    main()
