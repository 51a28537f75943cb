"""Make one compact file of the fits that `train_table` has kept.

    python -m tests.benchmarks.search.pack_table ~/table --train data/iesd/train

The file holds no ECG, only counts, losses and seconds. What it holds already of other fits stays, so that
the table can be trained in several sittings and on several machines.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from atml.ecg import grouped_folds, load_dataset
from atml.ecg.segment import subject_order
from atml.evaluation import FoldCounts, estimate
from tests.benchmarks.search.table import TABLE
from tests.benchmarks.search.train_table import (
    FOLDS,
    INTERIM_STRIDE,
    LEARNING_RATES,
    SETTINGS,
    THRESHOLDS,
    candidates,
    path_of,
)

EPOCHS = SETTINGS.epochs
MOST_SUBJECTS = 16  # in a fold


def subjects_of(segments):
    """Return a split's subjects in order, with how many segments of each class they have."""
    names = sorted(set(segments.subjects.tolist()), key=subject_order)
    afib = [int(segments.labels[segments.subjects == name].sum()) for name in names]
    other = [int((segments.labels[segments.subjects == name] == 0).sum()) for name in names]
    return names, afib, other


def fold_counts(who, counts):
    names, afib, other = who
    return FoldCounts(
        subjects=tuple(names),
        afib=np.array(afib),
        other=np.array(other),
        hits=counts[: len(names), :, 0].astype(np.int64),
        false_alarms=counts[: len(names), :, 1].astype(np.int64),
    )


def read_fit(path, interim):
    """Return a fit as a row of the table."""
    with np.load(path, allow_pickle=False) as fit:
        counts, seconds, losses = fit["counts"], fit["seconds"], fit["losses"]
        error = str(fit["error"])
    final = np.zeros((MOST_SUBJECTS, len(THRESHOLDS), 2), np.uint16)
    curve = np.zeros(EPOCHS, np.float32)
    padded_seconds = np.zeros(EPOCHS + 1, np.float32)
    padded_seconds[: len(seconds)] = seconds
    padded_losses = np.full((EPOCHS, 2), np.nan, np.float32)
    padded_losses[: len(losses)] = losses
    for epoch in range(len(losses)):
        curve[epoch] = estimate([fold_counts(interim, counts[epoch])]).fbeta
    if not error:
        final[: counts.shape[1]] = counts[-1]
    return final, padded_seconds, padded_losses, curve, error


def packed_rows(path):
    """Return the rows that a table holds already, by candidate, rung and fold."""
    if not path.exists():
        return {}
    with np.load(path, allow_pickle=False) as table:
        content = {name: table[name] for name in table.files}
    names = list(zip(content["architectures"].tolist(), content["onnx_bytes"].tolist(), strict=True))
    columns = ("counts", "seconds", "losses", "fbeta", "errors")
    return {
        (*names[content["candidate"][row]], int(content["rung"][row]), int(content["fold"][row])): tuple(
            content[column][row] for column in columns
        )
        for row in range(len(content["fold"]))
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=TABLE)
    arguments = parser.parse_args()
    splits = grouped_folds(load_dataset(arguments.train), folds=FOLDS, seed=0)
    who = [subjects_of(split.valid) for split in splits]
    interim = [
        subjects_of(split.valid.select(np.arange(0, len(split.valid), INTERIM_STRIDE))) for split in splits
    ]
    kept = candidates(arguments.folder)
    known = packed_rows(arguments.out)
    rows = []
    for number, candidate in enumerate(kept):
        for rung, rate in enumerate(LEARNING_RATES):
            for fold in range(FOLDS):
                path = path_of(arguments.folder, candidate, rate, fold)
                row = known.get((candidate.architecture, candidate.onnx_bytes, rung, fold))
                if path.exists():
                    row = read_fit(path, interim[fold])
                if row is not None:
                    rows.append((number, rung, fold, *row))
    columns = list(zip(*rows, strict=True))
    np.savez_compressed(
        arguments.out,
        architectures=np.array([one.architecture for one in kept]),
        configs=np.array([json.dumps(one.config) for one in kept]),
        onnx_bytes=np.array([one.onnx_bytes for one in kept]),
        parameters=np.array([one.parameters for one in kept]),
        learning_rates=np.array(LEARNING_RATES),
        thresholds=np.array(THRESHOLDS),
        subjects=np.concatenate([np.array(names) for names, _, _ in who]),
        subject_counts=np.array([len(names) for names, _, _ in who]),
        afib=np.concatenate([np.array(afib) for _, afib, _ in who]).astype(np.uint16),
        other=np.concatenate([np.array(other) for _, _, other in who]).astype(np.uint16),
        candidate=np.array(columns[0], np.uint8),
        rung=np.array(columns[1], np.uint8),
        fold=np.array(columns[2], np.uint8),
        counts=np.stack(columns[3]),
        seconds=np.stack(columns[4]),
        losses=np.stack(columns[5]),
        fbeta=np.stack(columns[6]),
        errors=np.array(columns[7]),
    )
    total = len(kept) * len(LEARNING_RATES) * FOLDS
    print(f"{len(rows)} of {total} fits: {arguments.out}, {arguments.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
