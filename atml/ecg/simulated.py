"""Simulated segments that networks are trained on beside real ones.

A study has tens of subjects, and a network may learn what tells them apart. Simulated hearts are all
different, and their labels are right.
"""

import io
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from atml.ecg.cache import default_cache_dir
from atml.ecg.dataset import Dataset
from atml.ecg.segment import AFIB_RHYTHM
from atml.ecg.sources.simulator import draw_subject
from atml.files import make_folder, write_whole
from atml.version import __version__

SUBJECTS, SEGMENTS_OF_EACH, SEED = 256, 30, 0


def fit_labels(positive: Iterable[str]) -> bool:
    """Whether simulated segments are labelled as data in which these rhythms are to be found."""
    return AFIB_RHYTHM in positive


def simulated_segments(
    length: int, *, progress: Callable[[int, int], None] = lambda done, total: None
) -> Dataset:
    """Return 7,680 segments of 256 simulated subjects, always the same.

    The first call for a length takes about 20 seconds; they are then kept in the cache.

    Args:
        length: Samples of a segment, at 250 Hz.
        progress: Called with (subjects drawn, subjects in total).

    Raises:
        CannotWrite: the cache cannot be written.
    """
    folder = default_cache_dir() / "simulated"
    path = folder / f"{__version__}-{length}.npy"
    kept = _read(path, length)
    if kept is None:
        file = io.BytesIO()
        np.save(file, _draw(length, progress))
        make_folder(folder)
        write_whole(path, file.getvalue())
        kept = np.load(path, mmap_mode="r")
    labels = kept[:, 0].astype(np.int64)
    return Dataset(
        store=kept[:, 1:],
        rows=np.arange(len(kept)),
        labels=labels,
        subjects=np.repeat([f"S{number}" for number in range(SUBJECTS)], SEGMENTS_OF_EACH),
        rhythms=np.where(labels == 1, AFIB_RHYTHM, "N"),
        source="simulated",
    )


def _read(path: Path, length: int) -> NDArray[np.float32] | None:
    try:
        kept = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    shape = (SUBJECTS * SEGMENTS_OF_EACH, 1 + length)
    return kept if kept.shape == shape and kept.dtype == np.float32 else None


def _draw(length: int, progress: Callable[[int, int], None]) -> NDArray[np.float32]:
    """Return a row for each segment: its label, then its samples."""
    rows = []
    for number in range(SUBJECTS):
        for rhythm, samples in draw_subject(number, SEGMENTS_OF_EACH, length, SEED).items():
            labels = np.full(len(samples), float(rhythm == AFIB_RHYTHM))
            rows.append(np.column_stack([labels, samples]).astype(np.float32))
        progress(number + 1, SUBJECTS)
    return np.concatenate(rows)
