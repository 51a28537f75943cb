"""Splits by subject: no subject is ever in both train and validation.

Segments of one subject are similar, so a split by segment would measure how well a network remembers
its subjects.
"""

from dataclasses import dataclass

import numpy as np

from atml.ecg.dataset import Dataset
from atml.ecg.segment import CLASSES, subject_order
from atml.errors import TooFewSubjects


@dataclass(frozen=True, kw_only=True)
class Split:
    """One fold: subjects to train on and other subjects to validate on."""

    train: Dataset
    valid: Dataset


def grouped_folds(dataset: Dataset, *, folds: int = 5, seed: int = 0) -> list[Split]:
    """Split a dataset into folds by subject, each with about the same share of AFIB.

    Every subject is in the validation part of exactly one fold, and both parts of every fold contain
    both classes.

    Raises:
        TooFewSubjects: there are too few subjects of each class for so many folds.
    """
    if folds < 2:
        raise TooFewSubjects(f"folds must be at least 2 but got {folds}.")
    mixed, single = _subjects_by_class(dataset)
    if len(mixed) + min(map(len, single)) < folds:
        raise TooFewSubjects(_advice(dataset, folds, len(mixed), [len(names) for names in single]))
    splits = _stratified(dataset, folds, seed)
    if all(_has_both_classes(split.valid) for split in splits):
        return splits
    return _dealt(dataset, folds, seed)


def _subjects_by_class(dataset: Dataset) -> tuple[list[str], list[list[str]]]:
    """Subjects with both classes, and those with only one, by class."""
    having = [set(dataset.subjects[dataset.labels == label].tolist()) for label in range(len(CLASSES))]
    normal, afib = having
    return sorted(normal & afib), [sorted(normal - afib), sorted(afib - normal)]


def _stratified(dataset: Dataset, folds: int, seed: int) -> list[Split]:
    # Takes half a second to import, and `atml data check` does not need it.
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed % 2**32)
    indices = np.zeros(len(dataset))
    return [
        Split(train=dataset.select(train), valid=dataset.select(valid))
        for train, valid in splitter.split(indices, dataset.labels, dataset.subjects)
    ]


def _dealt(dataset: Dataset, folds: int, seed: int) -> list[Split]:
    """Assign subjects one by one, for the few-subject cases in which stratification fails.

    Each fold begins with a subject of both classes, or with one of each; each other subject goes to
    the fold with the fewest segments.
    """
    random = np.random.default_rng(seed)
    mixed, (normal, afib) = _subjects_by_class(dataset)
    for names in (mixed, normal, afib):
        random.shuffle(names)
    dealt = [[mixed.pop()] if mixed else [normal.pop(), afib.pop()] for _ in range(folds)]
    sizes = dict(zip(*np.unique(dataset.subjects, return_counts=True), strict=True))
    for name in sorted(mixed + normal + afib, key=lambda name: -int(sizes[name])):
        min(dealt, key=lambda names: sum(int(sizes[name]) for name in names)).append(name)
    validating = [np.isin(dataset.subjects, names) for names in dealt]
    return [Split(train=dataset.select(~here), valid=dataset.select(here)) for here in validating]


def _has_both_classes(part: Dataset) -> bool:
    return len(np.unique(part.labels)) == len(CLASSES)


def _advice(dataset: Dataset, folds: int, mixed: int, single: list[int]) -> str:
    only = " and ".join(f"{count} {name} only" for name, count in zip(CLASSES, single, strict=True))
    return (
        f"{folds} folds of {dataset.source} need {folds} subjects, or pairs of them, with segments of both "
        f"classes; {mixed} of its subjects have both, {only}. Use fewer folds or add subjects."
    )


def drop_shared_subjects(train: Dataset, test: Dataset) -> tuple[Dataset, tuple[str, ...]]:
    """Remove from ``train`` the subjects that are also in ``test``, and return their names.

    Raises:
        TooFewSubjects: nothing would be left to train on.
    """
    shared = np.isin(train.subjects, test.subjects)
    names = tuple(sorted({str(name) for name in train.subjects[shared]}, key=subject_order))
    if len(train) and shared.all():
        raise TooFewSubjects(
            f"every subject of {train.source} is also in {test.source}, so nothing is left to train "
            "on; name directories with different subjects."
        )
    return train.select(~shared), names
