"""Segments as arrays, used by training, evaluation and search.

`load_dataset` refuses a directory with a broken file; `check_directory` reports all problems of one.
"""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from atml.ecg.cache import Progress, Store, open_store
from atml.ecg.provenance import read_provenance
from atml.ecg.segment import AFIB_RHYTHM, GRAMMAR, SegmentName, subject_order
from atml.ecg.sources.iesd import Listing, Problem, scan
from atml.errors import BadSegment, NoSegments

SHOWN_PROBLEMS = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """A view of segments: rows of the shared store, with labels and names.

    A view needs a few bytes per segment: the samples stay in the memory-mapped store, whose pages are
    shared by all views and processes.
    """

    store: NDArray[np.float32]  # [stored, length], read-only
    rows: NDArray[np.int64]  # [n] rows of the store that this view holds
    labels: NDArray[np.int64]  # [n] 0 Normal, 1 AFIB
    subjects: NDArray[np.str_]  # [n] "S0"
    rhythms: NDArray[np.str_]  # [n]
    source: str  # directory as the user named it
    skipped: int = 0  # bad files left out
    store_fingerprint: str = ""  # of the whole store; empty when it was never computed
    store_names: tuple[str, ...] = ()  # the store's file names; empty when it was made by hand
    positive: tuple[str, ...] = (AFIB_RHYTHM,)  # annotated rhythms that are labelled AFIB

    def __repr__(self) -> str:
        subjects = len(set(self.subjects.tolist()))
        return (
            f"Dataset({self.source!r}: {len(self)} segments of {self.segment_length} samples, "
            f"{subjects} subjects, {int(self.labels.sum())} AFIB)"
        )

    def __len__(self) -> int:
        """How many segments the view holds."""
        return len(self.rows)

    @property
    def segment_length(self) -> int:
        """Samples in one segment."""
        return int(self.store.shape[1])

    @cached_property
    def files(self) -> tuple[str, ...]:
        """The segments' file names, one per segment."""
        return tuple(self.store_names[row] for row in self.rows)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the view's segments, the same for the same segments on any machine or path."""
        content = hashlib.sha256(self.store_fingerprint.encode())
        if not self.store_fingerprint:  # constructed by hand, so hash everything
            content.update(self.samples().tobytes())
            content.update("\n".join([*self.subjects, *self.rhythms]).encode())
        content.update(self.rows.astype("<i8").tobytes())
        return content.hexdigest()

    def select(self, where: NDArray[np.bool_] | NDArray[np.int64]) -> "Dataset":
        """The segments selected by a mask or indices; no samples are copied."""
        return replace(
            self,
            rows=self.rows[where],
            labels=self.labels[where],
            subjects=self.subjects[where],
            rhythms=self.rhythms[where],
        )

    def samples(self, where: NDArray[np.bool_] | NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """A copy of the samples, ``[m, length]``: all, or those selected by a mask or indices."""
        return self.store[self.rows if where is None else self.rows[where]]


@dataclass(frozen=True, kw_only=True)
class DirectoryReport:
    """The segments of a directory and their problems."""

    directory: str  #: The directory.
    segments: int  #: Number of well-formed segments.
    segment_length: int  #: Samples of a segment.
    counts: dict[str, dict[str, int]]  #: Number of segments by subject and rhythm.
    problems: tuple[Problem, ...]  #: Files that cannot be used, sorted by name.
    ignored: tuple[str, ...]  #: Files and directories that are obviously not segments.
    fingerprint: str  #: Hash of names and samples; the same on every machine.


def load_dataset(
    directory: str | Path,
    *,
    skip_bad: bool = False,
    progress: Progress = lambda done, total: None,
    workers: int | None = None,
    cache_dir: str | Path | None = None,
) -> Dataset:
    """Open a directory of segments, from the cache if possible.

    Args:
        directory: where the ``S<subject>-<rhythm>-<index>.txt`` files are.
        skip_bad: leave broken files out, and count them in ``skipped``, instead of refusing.
        progress: called with (files read, files in total) while text is parsed.
        workers: processes that parse; by default one per core.
        cache_dir: where parsed samples are kept; by default ``ATML_CACHE`` or the user's cache.

    Raises:
        NoSegments: the directory does not exist or contains no usable segment.
        BadSegment: some files are broken and ``skip_bad`` is False.
        DataError: the directory cannot be listed, or the cache cannot be written.
    """
    directory = Path(directory)
    store, _ = _open(directory, progress, workers, cache_dir)
    if store.problems and not skip_bad:
        raise BadSegment(_summary(directory, store))
    if not store.names:
        raise NoSegments(
            f"none of the {len(store.problems)} segments in {directory} can be used; "
            f"run `atml data check {directory}` to see why."
        )
    return _dataset(directory, store)


def check_directory(
    directory: str | Path,
    *,
    progress: Progress = lambda done, total: None,
    cache_dir: str | Path | None = None,
) -> DirectoryReport:
    """Read every segment of a directory and report all problems.

    Raises:
        NoSegments: the directory does not exist or contains no possible segment.
        DataError: the directory cannot be listed, or the cache cannot be written.
    """
    directory = Path(directory)
    store, listing = _open(directory, progress, None, cache_dir)
    dataset = _dataset(directory, store)
    counts: dict[str, dict[str, int]] = {}
    for subject, rhythm in zip(dataset.subjects.tolist(), dataset.rhythms.tolist(), strict=True):
        of_subject = counts.setdefault(subject, {})
        of_subject[rhythm] = of_subject.get(rhythm, 0) + 1
    return DirectoryReport(
        directory=str(directory),
        segments=len(dataset),
        segment_length=dataset.segment_length,
        counts={subject: counts[subject] for subject in sorted(counts, key=subject_order)},
        problems=store.problems,
        ignored=listing.ignored,
        fingerprint=dataset.fingerprint,
    )


def _open(
    directory: Path, progress: Progress, workers: int | None, cache_dir: str | Path | None
) -> tuple[Store, Listing]:
    listing = scan(directory)
    if not listing.files:
        raise NoSegments(_nothing_in(directory, listing))
    store = open_store(directory, listing, cache_dir=cache_dir, workers=workers, progress=progress)
    return store, listing


def _dataset(directory: Path, store: Store) -> Dataset:
    names = [SegmentName.parse(name) for name in store.names]
    imported = read_provenance(directory) or {}
    return Dataset(
        store=store.samples,
        rows=np.arange(len(names), dtype=np.int64),
        labels=np.array([name.label for name in names], dtype=np.int64),
        subjects=np.array([name.subject for name in names], dtype=np.str_),
        rhythms=np.array([name.rhythm for name in names], dtype=np.str_),
        source=str(directory),
        skipped=len(store.problems),
        store_fingerprint=store.fingerprint,
        store_names=store.names,
        positive=tuple(map(str, imported.get("positive_rhythms") or (AFIB_RHYTHM,))),
    )


def _nothing_in(directory: Path, listing: Listing) -> str:
    message = f"{directory} holds no segment: no file is named {GRAMMAR}."
    for name in listing.ignored:
        inside = directory / name
        if inside.is_dir() and any(inside.glob("S*-*-*.txt")):
            return f"{message} Did you mean {inside}?"
    return message


def _summary(directory: Path, store: Store) -> str:
    total = len(store.problems) + len(store.names)
    shown = [f"  {problem}" for problem in store.problems[:SHOWN_PROBLEMS]]
    more = len(store.problems) - len(shown)
    return "\n".join(
        [
            f"{len(store.problems)} of {total} segments in {directory} cannot be used:",
            *shown,
            *([f"  … and {more} more"] if more else []),
            f"Run `atml data check {directory}` to see all, or leave them out with --skip-bad.",
        ]
    )
