"""Measure the CPU seconds that every candidate of the table takes to train, on a quiet machine.

    python -m tests.benchmarks.search.time_table --out ~/table

The result, `seconds.json`, is what `pack_table` gives to all fits of a candidate: neither the learning rate
nor the fold changes how long training takes. Noise serves as data, since its content does not matter either.
"""

import argparse
import json
import statistics
import time
from dataclasses import replace
from pathlib import Path

import torch
from rich.progress import track

from atml.models import get_architecture
from atml.training import WithoutValidation, predict, train
from atml.training.loop import VALIDATION_BATCH
from atml.tuning.proposal import Proposal
from tests.benchmarks.search.train_table import (
    INTERIM_STRIDE,
    LENGTH,
    SETTINGS,
    candidates,
)
from tests.benchmarks.small_networks import Noise

STEPS = 8  # measured of an epoch's 32, after a warm-up
ROUNDS = 3
VALIDATED = 1024  # segments
FOLD = 12_500  # segments of a fold, on which a trained network is evaluated


def name_of(candidate):
    return f"{candidate.architecture}-{candidate.onnx_bytes}"


def seconds_of(candidate, data):
    """Return the CPU seconds of an epoch and of the evaluation of the trained network."""
    architecture = get_architecture(candidate.architecture)
    config = architecture.config_from_dict(candidate.config)
    network = Proposal(architecture=architecture, config=config, learning_rate=0.01).build(LENGTH, seed=0)
    settings = replace(
        SETTINGS, epochs=1 + ROUNDS, segments_per_epoch=STEPS * SETTINGS.batch_size, learning_rate=0.01
    )
    times, begun = [], time.process_time()
    for _ in train(network, WithoutValidation(train=data), settings, device=torch.device("cpu")):
        times.append(time.process_time() - begun)
        begun = time.process_time()
    trained = statistics.median(times[1:]) * SETTINGS.segments_per_epoch / settings.segments_per_epoch
    asked = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        predict(network, data, device=torch.device("cpu"), batch_size=VALIDATION_BATCH["cpu"])
        asked.append(time.process_time() - begun)
    evaluated = statistics.median(asked) * FOLD / len(data)
    return [trained + evaluated / INTERIM_STRIDE, evaluated]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the table")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = Noise(VALIDATED)
    found = {
        name_of(candidate): seconds_of(candidate, data)
        for candidate in track(candidates(arguments.out), description="seconds")
    }
    (arguments.out / "seconds.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
