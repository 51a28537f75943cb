"""Training throughput of ATML beside the original's way of training, in one run.

    python -m tests.benchmarks.training_throughput [--architecture conv_gru]

See README.md beside this file for what is compared and how to read it.
"""

import argparse
import os
import statistics
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent))  # for the processes, however this script is started
from original_pipeline import OriginalTraining

from atml.ecg import Dataset
from atml.models import get_architecture
from atml.training import TrainingSettings, WithoutValidation, train

LENGTH = 1250
BATCH_SIZE = 64
ENDLESS = 10_000  # epochs
ORIGINAL_PROCESSES = 8

running = None  # the training that lives in a contender's process


def main():
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="atml-bench-") as folder:
        write_segments(Path(folder), arguments.segments)
        speeds = measure(Path(folder), arguments)
    print_table(speeds, arguments)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--architecture", default="afnet", help="what ATML trains (default: afnet)")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each (default: 5)")
    parser.add_argument("--segments", type=int, default=2048, help="in an epoch (default: 2048)")
    return parser.parse_args()


def write_segments(folder, count):
    """Write segments as the text files that the original reads, and as the array that ATML maps."""
    rng = np.random.default_rng(0)
    samples = rng.standard_normal((count, LENGTH), dtype=np.float32)
    np.save(folder / "segments.npy", samples)
    for index in track(range(count), description="writing segment files", transient=True):
        text = "\n".join(f"{value:.7f}" for value in samples[index].tolist())
        rhythm = "AFIB" if index % 2 else "N"
        (folder / f"S{index % 50}-{rhythm}-{index}.txt").write_text(text)


def measure(folder, arguments):
    """Return {contender: samples a second in each round}, taking turns so that all share the noise."""
    spawn = get_context("spawn")
    pools = {
        name: ProcessPoolExecutor(1, mp_context=spawn)
        for name in ("a", "b", "original", "original, one core")
    }
    speeds = {"original": [], "original, one core": [], "one": [], "two": []}
    try:
        for name in ("a", "b"):
            pools[name].submit(start_atml, folder, arguments.architecture, arguments.segments).result()
        pools["original"].submit(start_original, folder, ORIGINAL_PROCESSES, one_core=False).result()
        pools["original, one core"].submit(start_original, folder, 1, one_core=True).result()
        for number in track(range(arguments.rounds + 1), description="measuring", transient=True):
            found = {
                "one": run_at_once(pools["a"]),
                "two": run_at_once(pools["a"], pools["b"]),
                "original": run_at_once(pools["original"]),
                "original, one core": run_at_once(pools["original, one core"]),
            }
            if number > 0:  # the first round warms up
                for name, speed in found.items():
                    speeds[name].append(speed)
    finally:
        for pool in pools.values():
            pool.shutdown(cancel_futures=True)
    return speeds


def run_at_once(*pools):
    """Return the summed speed of contenders that run together, each after an epoch to warm up.

    A process that has waited for its turn has lost its caches, and perhaps its pages.
    """
    for future in [pool.submit(epoch) for pool in pools]:
        future.result()
    return sum(future.result() for future in [pool.submit(epoch) for pool in pools])


def start_atml(folder, architecture, segments):
    """Prepare, in a process of its own, what `atml worker` does: one thread; an epoch is all segments."""
    global running, epoch_segments
    torch.set_num_threads(1)
    store = np.load(folder / "segments.npy", mmap_mode="r")
    names = np.full(segments, "S0")
    rows = np.arange(segments)
    epoch_segments = segments // BATCH_SIZE * BATCH_SIZE
    data = Dataset(store=store, rows=rows, labels=rows % 2, subjects=names, rhythms=names, source="")
    chosen = get_architecture(architecture)
    settings = TrainingSettings(epochs=ENDLESS, batch_size=BATCH_SIZE, segments_per_epoch=None)
    network = chosen.build(chosen.default(), LENGTH)
    running = train(network, WithoutValidation(train=data), settings, device=torch.device("cpu"))


def epoch():
    """Return samples a second of one epoch of whatever this process trains."""
    if isinstance(running, OriginalTraining):
        return running.epoch()
    return epoch_segments / next(running).seconds


def start_original(folder, processes, *, one_core):
    """Prepare the baseline, on every core with PyTorch's own number of threads, or on one core."""
    global running
    if one_core:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # its loader processes inherit this
        torch.set_num_threads(1)
    running = OriginalTraining(folder, batch_size=BATCH_SIZE, processes=processes)


def print_table(speeds, arguments):
    cores = os.cpu_count()
    table = Table(
        title=f"Training on {cores} cores, batch {BATCH_SIZE}, {arguments.rounds} rounds, "
        f"PyTorch {torch.__version__}"
    )
    table.add_column("")
    for heading in ("samples/s", "lowest – highest", "÷ original", "÷ its one core", "÷ one worker"):
        table.add_column(heading, justify="right")
    titles = {
        "original": f"original, on {cores} cores: {ORIGINAL_PROCESSES} loaders",
        "original, one core": "original, on one core",
        "one": f"ATML: {arguments.architecture}, one worker",
        "two": f"ATML: {arguments.architecture}, two workers",
    }
    for name, title in titles.items():
        ratios = (
            f"{median_ratio(speeds[name], speeds[other]):.2f}"
            for other in ("original", "original, one core", "one")
        )
        table.add_row(
            title,
            f"{statistics.median(speeds[name]):,.0f}",
            f"{min(speeds[name]):,.0f} – {max(speeds[name]):,.0f}",
            *ratios,
        )
    Console(width=max(Console().width, 116)).print(table)


def median_ratio(speeds, others):
    """Return the median over rounds of the ratio within a round, where both met the same noise."""
    return statistics.median(mine / other for mine, other in zip(speeds, others, strict=True))


if __name__ == "__main__":
    main()
