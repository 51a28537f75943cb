"""Make one compact file of the fits that `train_table` has kept and the times of `time_table`.

    python -m tests.benchmarks.search.pack_table ~/table --train data/iesd/train
    python -m tests.benchmarks.search.pack_table ~/table --only-seconds

The file holds no ECG, only counts, losses and seconds. When training has become faster, `--only-seconds`
replaces those of the table.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from atml.ecg import grouped_folds, load_dataset
from atml.ecg.segment import subject_order
from atml.evaluation import FoldCounts, estimate
from tests.benchmarks.search.table import TABLE
from tests.benchmarks.search.time_table import name_of
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
        counts, losses = fit["counts"], fit["losses"]
        error = str(fit["error"])
    final = np.zeros((MOST_SUBJECTS, len(THRESHOLDS), 2), np.uint16)
    curve = np.zeros(EPOCHS, np.float32)
    padded_losses = np.full((EPOCHS, 2), np.nan, np.float32)
    padded_losses[: len(losses)] = losses
    for epoch in range(len(losses)):
        curve[epoch] = estimate([fold_counts(interim, counts[epoch])]).fbeta
    if not error:
        final[: counts.shape[1]] = counts[-1]
    return final, padded_losses, curve, error


def epochs_of(epoch, evaluation):
    """Return the seconds of each epoch and of the evaluation of the trained network."""
    return [epoch] * EPOCHS + [evaluation]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--train", type=Path)
    given.add_argument("--only-seconds", action="store_true")
    parser.add_argument("--out", type=Path, default=TABLE)
    arguments = parser.parse_args()
    kept = candidates(arguments.folder)
    times = json.loads((arguments.folder / "seconds.json").read_text())
    seconds = np.array([epochs_of(*times[name_of(candidate)]) for candidate in kept], np.float32)
    if arguments.only_seconds:
        with np.load(arguments.out) as table:
            changed = {**table, "seconds": seconds}
        np.savez_compressed(arguments.out, **changed)
        return
    splits = grouped_folds(load_dataset(arguments.train), folds=FOLDS, seed=0)
    who = [subjects_of(split.valid) for split in splits]
    interim = [
        subjects_of(split.valid.select(np.arange(0, len(split.valid), INTERIM_STRIDE))) for split in splits
    ]
    rows = []
    for number, candidate in enumerate(kept):
        for rung, rate in enumerate(LEARNING_RATES):
            for fold in range(FOLDS):
                path = path_of(arguments.folder, candidate, rate, fold)
                if path.exists():
                    rows.append((number, rung, fold, *read_fit(path, interim[fold])))
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
        seconds=seconds,
        losses=np.stack(columns[4]),
        fbeta=np.stack(columns[5]),
        errors=np.array(columns[6]),
    )
    total = len(kept) * len(LEARNING_RATES) * FOLDS
    print(f"{len(rows)} of {total} fits: {arguments.out}, {arguments.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
