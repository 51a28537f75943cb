"""Splits by subject: no subject is ever in both train and validation.

Segments of one subject are similar, so a split by segment would measure how well a network remembers
its subjects.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atml.ecg.dataset import Dataset
from atml.ecg.segment import CLASSES, subject_order
from atml.errors import TooFewSubjects

# Standard deviation of the logarithm by which the order of the subjects differs from that by size.
SHUFFLING = 0.5


@dataclass(frozen=True, kw_only=True)
class Split:
    """One fold: subjects to train on and other subjects to validate on."""

    train: Dataset
    valid: Dataset


def grouped_folds(dataset: Dataset, *, folds: int = 5, seed: int = 0) -> list[Split]:
    """Split a dataset into folds by subject, each with about as many segments of each class.

    Every subject is in the validation part of exactly one fold, and both parts of every fold contain
    both classes. Another seed gives other folds. (With scikit-learn's StratifiedGroupKFold it does so only if
    subjects have equal numbers of segments.)

    Raises:
        TooFewSubjects: there are too few subjects of each class for so many folds.
    """
    if folds < 2:
        raise TooFewSubjects(f"folds must be at least 2 but got {folds}.")
    validating = [np.isin(dataset.subjects, names) for names in _dealt(dataset, folds, seed)]
    return [Split(train=dataset.select(~here), valid=dataset.select(here)) for here in validating]


def _subjects_by_class(dataset: Dataset) -> tuple[list[str], list[str], list[str]]:
    """Subjects with both classes, and those with Normal and with AFIB only."""
    normal, afib = (set(dataset.subjects[dataset.labels == label].tolist()) for label in range(len(CLASSES)))
    return sorted(normal & afib), sorted(normal - afib), sorted(afib - normal)


def _dealt(dataset: Dataset, folds: int, seed: int) -> list[list[str]]:
    """Assign subjects to folds: large ones roughly first, each to the fold that stays the most even.

    Each fold begins with a subject of both classes, or with one of each.
    """
    random = np.random.default_rng(seed % 2**32)
    mixed, normal, afib = _subjects_by_class(dataset)
    if len(mixed) + min(len(normal), len(afib)) < folds:
        raise TooFewSubjects(_advice(dataset, folds, len(mixed), [len(normal), len(afib)]))
    for names in (mixed, normal, afib):
        random.shuffle(names)
    dealt = [[mixed.pop()] if mixed else [normal.pop(), afib.pop()] for _ in range(folds)]
    shares = _shares(dataset)
    held = np.array([sum(shares[name] for name in names) for names in dealt])  # [folds, classes]
    left = sorted(mixed + normal + afib)
    weight = np.array([shares[name].sum() for name in left]) * random.lognormal(
        sigma=SHUFFLING, size=len(left)
    )
    for name in np.array(left)[np.argsort(-weight)].tolist():
        # The sum of the squares of all folds grows least where the product is smallest.
        fold = int(np.argmin(held @ shares[name]))
        held[fold] += shares[name]
        dealt[fold].append(name)
    return dealt


def _shares(dataset: Dataset) -> dict[str, NDArray[np.float64]]:
    """Return what share of all segments of each class [classes] a subject has."""
    names, subject = np.unique(dataset.subjects, return_inverse=True)
    counts = [np.bincount(subject, dataset.labels == label, len(names)) for label in range(len(CLASSES))]
    counted = np.stack(counts, axis=1)
    return dict(zip(names.tolist(), counted / counted.sum(axis=0), strict=True))


def _advice(dataset: Dataset, folds: int, mixed: int, single: list[int]) -> str:
    only = " and ".join(f"{count} {name} only" for name, count in zip(CLASSES, single, strict=True))
    return (
        f"{folds} folds of {dataset.source} need {folds} subjects, or pairs of them, with segments of both "
        f"classes; {mixed} of its subjects have both, {only}. Use fewer folds or add subjects."
    )


def shared_subjects(train: Dataset, test: Dataset) -> list[str]:
    """Return the names of the subjects that are in both ``train`` and ``test``.

    Raises:
        TooFewSubjects: without them nothing would be left to train on.
    """
    shared = np.isin(train.subjects, test.subjects)
    if len(train) and shared.all():
        raise TooFewSubjects(
            f"every subject of {train.source} is also in {test.source}, so nothing is left to train "
            "on; name directories with different subjects."
        )
    return sorted(set(train.subjects[shared].tolist()), key=subject_order)
