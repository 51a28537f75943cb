"""How fast every architecture trains on one CPU core and on a GPU, in one run.

    python -m tests.benchmarks.devices [--sizes 4000 43000] [--rounds 3]

See README.md beside this file for what is compared and how to read it.
"""

import argparse
import statistics
import time

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from atml.models import ARCHITECTURES
from atml.training import TrainingSettings, WithoutValidation, choose_device, describe_device, train
from atml.tuning.candidates import sized_candidates
from tests.benchmarks.small_networks import LENGTH, SEGMENTS, Noise


def samples_per_second(candidate, device, noise):
    """Return the samples per second of whole training steps, after one epoch to warm up."""
    settings = TrainingSettings(epochs=2, segments_per_epoch=SEGMENTS)
    network = candidate.proposal(0.01).build(LENGTH, seed=0)
    start = 0.0
    for epoch in train(network, WithoutValidation(train=noise), settings, device=device):
        if epoch.index == 0:
            start = time.perf_counter()
    return SEGMENTS / (time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[4_000, 43_000], help="ONNX bytes")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each (default: 3)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    devices = [torch.device("cpu"), choose_device("cuda")]
    noise = Noise(SEGMENTS)
    table = Table(
        "architecture", "ONNX bytes", "CPU", "GPU", "GPU ÷ CPU", title="training, samples per second"
    )
    candidates = sized_candidates(ARCHITECTURES, arguments.sizes, LENGTH)
    for candidate in track(candidates, description="measuring", transient=True):
        rounds = [
            [samples_per_second(candidate, device, noise) for device in devices]
            for _ in range(arguments.rounds)
        ]
        cpu, gpu = (statistics.median(speeds) for speeds in zip(*rounds, strict=True))
        figures = f"{candidate.onnx_bytes:,}", f"{cpu:,.0f}", f"{gpu:,.0f}", f"{gpu / cpu:.2f}"
        table.add_row(candidate.architecture, *figures)
    console = Console()
    console.print(table)
    console.print(f"{describe_device(devices[0])}; {describe_device(devices[1])}")


if __name__ == "__main__":
    main()
