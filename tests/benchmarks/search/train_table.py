"""Train every candidate of a grid once, on every fold: the results on which searches are compared.

    python -m tests.benchmarks.search.train_table --train data/iesd/train --out ~/table [--device cuda]

A fit is kept in a file of its own, so the command can be stopped at any time and goes on where it was.
`time_table` measures how long each candidate takes on a CPU, which depends neither on the fold nor on the
learning rate, and `pack_table` makes one compact file of all. It holds no ECG: only seconds, losses, and how
many of each subject's segments were called AFIB.
"""

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from rich.progress import Progress

from atml.ecg import grouped_folds, load_dataset
from atml.ecg.segment import subject_order
from atml.models import ARCHITECTURES, get_architecture
from atml.training import TrainingSettings, predict, train
from atml.training.loop import VALIDATION_BATCH
from atml.tuning.proposal import Proposal
from atml.tuning.sizes import size_before_training

FOLDS = 4
LEARNING_RATES = (0.004, 0.00821, 0.0169, 0.0346, 0.0711, 0.146, 0.3)
SIZES = (4_000, 8_000, 16_000, 43_000)  # classes; every architecture's smallest network comes on top
MORE_SIZES = (
    60_000,
    25_000,
    12_500,
    62_000,
    90_000,
)  # for those too large for some class, so that each has five
LARGE = (43_000, 20_000)  # these come later, and last those that fit into no class
WIDTHS = 5
APART = 1.15  # two networks of nearly one size tell nothing
THRESHOLDS = (0.02, 0.05, 0.08, 0.12, 0.16, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7)
SETTINGS = TrainingSettings(epochs=6, segments_per_epoch=8192, batch_size=256, patience=None)
INTERIM_STRIDE = 4  # epochs are validated on every fourth segment, the trained network on all
LENGTH = 1250
CANDIDATES = Path(__file__).parent / "candidates.json"  # as they were when the table was begun

_dataset = None


@dataclass(frozen=True, kw_only=True)
class Split:
    """Segments to train on, and those that each epoch is validated on."""

    train: object
    valid: object


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A network of the grid."""

    architecture: str
    config: dict
    onnx_bytes: int
    parameters: int


def candidates(folder):
    """Return the networks of the grid: of each architecture the smallest, and one for each size."""
    kept = CANDIDATES if CANDIDATES.exists() else folder / "candidates.json"
    if not kept.exists():
        kept.write_text(json.dumps([asdict(candidate) for candidate in _all()], indent=1))
    return [Candidate(**fields) for fields in json.loads(kept.read_text())]


def _all():
    return [candidate for name in ARCHITECTURES for candidate in _of(get_architecture(name))]


def _of(architecture):
    """Return the networks of one architecture, all widths scaled together."""
    sized = {}
    default = architecture.default()
    floors = architecture.minimum_widths
    for scale in np.geomspace(0.1, 4, 160):
        widths = {name: max(low, round(getattr(default, name) * scale)) for name, low in floors.items()}
        config = default.model_copy(update=widths)
        if config not in sized:
            sized[config] = size_before_training(
                Proposal(architecture=architecture, config=config, learning_rate=1.0), LENGTH
            )
            if sized[config][0] > max(MORE_SIZES):
                break
    by_size = sorted(sized.items(), key=lambda item: item[1][0])
    chosen = {by_size[0][0]: by_size[0][1]}
    for limit in (*SIZES, *MORE_SIZES):
        fitting = [item for item in by_size if item[1][0] <= limit]
        if not fitting or len(chosen) == WIDTHS:
            continue
        config, measured = fitting[-1]
        ratios = [measured[0] / other[0] for other in chosen.values()]
        if all(max(ratio, 1 / ratio) >= APART for ratio in ratios):
            chosen[config] = measured
    return [
        Candidate(
            architecture=architecture.name,
            config=config.model_dump(),
            onnx_bytes=size,
            parameters=parameters,
        )
        for config, (size, parameters) in sorted(chosen.items(), key=lambda item: item[1][0])
    ]


def fit(directory, device_name, candidate, learning_rate, fold):
    """Train one candidate on one fold and return what is kept of it."""
    global _dataset
    torch.set_num_threads(1)
    if _dataset is None:
        dataset = load_dataset(Path(directory))
        _dataset = dataset, grouped_folds(dataset, folds=FOLDS, seed=0)
    split = _dataset[1][fold]
    interim = split.valid.select(np.arange(0, len(split.valid), INTERIM_STRIDE))
    architecture = get_architecture(candidate.architecture)
    config = architecture.config_from_dict(candidate.config)
    proposal = Proposal(architecture=architecture, config=config, learning_rate=learning_rate)
    network = proposal.build(LENGTH, seed=0)
    settings = replace(SETTINGS, learning_rate=learning_rate)
    losses, counts = [], []
    device = torch.device(device_name)
    error = None
    try:
        for epoch in train(network, Split(train=split.train, valid=interim), settings, device=device):
            losses.append((epoch.train_loss, epoch.valid_loss))
            counts.append(count(interim, epoch.valid_scores))
        scores = predict(network, split.valid, device=device, batch_size=VALIDATION_BATCH[device.type])
        counts.append(count(split.valid, scores))
    except Exception as raised:
        if type(raised).__name__ != "TrainingDiverged":
            raise
        error = str(raised)
    return {
        "candidate": json.dumps(asdict(candidate), sort_keys=True),
        "learning_rate": learning_rate,
        "fold": fold,
        "losses": np.array(losses, np.float32),
        "counts": np.array(counts, np.uint16),
        "error": error or "",
    }


def count(segments, scores):
    """Return [subjects, thresholds, 2]: of each subject, in order, AFIB found and false alarms."""
    names = sorted(set(segments.subjects.tolist()), key=subject_order)
    position = {name: index for index, name in enumerate(names)}
    subject = np.array([position[name] for name in segments.subjects.tolist()])
    found = np.zeros((len(names), len(THRESHOLDS), 2), np.int64)
    for index, threshold in enumerate(THRESHOLDS):
        called = scores >= threshold
        for kind, label in enumerate((1, 0)):
            np.add.at(found[:, index, kind], subject[called & (segments.labels == label)], 1)
    return found


def path_of(folder, candidate, learning_rate, fold):
    """Name the file of a fit."""
    rung = LEARNING_RATES.index(learning_rate)
    return folder / f"{candidate.architecture}-{candidate.onnx_bytes}-{rung}-{fold}.npz"


def fit_and_keep(directory, device_name, path, *job):
    """Train, and write the result whole or not at all."""
    kept = fit(directory, device_name, *job)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        np.savez_compressed(file, **kept)
    temporary.rename(path)


def main():
    """Train what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", required=True, help="directory of segments")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    grid = [
        (candidate, rate, fold)
        for fold in range(FOLDS)
        for rate in LEARNING_RATES
        for candidate in candidates(arguments.out)
    ]
    # What a search is for comes first: learning rates that suit networks, and small networks.
    grid.sort(key=lambda job: (job[1] == LEARNING_RATES[0], *(job[0].onnx_bytes > size for size in LARGE)))
    missing = [(path_of(arguments.out, *job), *job) for job in grid]
    missing = [job for job in missing if not job[0].exists()]
    load_dataset(Path(arguments.train))  # fills the cache before the processes ask for it
    with (
        ProcessPoolExecutor(arguments.workers, mp_context=get_context("spawn")) as pool,
        Progress() as progress,
    ):
        task = progress.add_task("fits", total=len(grid), completed=len(grid) - len(missing))
        where = arguments.train, arguments.device
        for future in as_completed([pool.submit(fit_and_keep, *where, *job) for job in missing]):
            future.result()
            progress.advance(task)


if __name__ == "__main__":
    main()
