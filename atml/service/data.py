"""Loading segments, and the data set of a study, the same in every process."""

from pathlib import Path

import numpy as np

from atml.ecg import Dataset, load_dataset
from atml.errors import SpecError
from atml.service.watch import Watch
from atml.tuning.spec import DataSpec
from atml.words import counted


def load_segments(directory: Path, watch: Watch, *, skip_bad: bool = False) -> Dataset:
    """Load a directory of segments; report how many broken files were left out."""
    with watch.progress(f"Reading {directory}", "files") as update:
        dataset = load_dataset(directory, skip_bad=skip_bad, progress=update)
    if dataset.skipped:
        watch.say(f"{dataset.source}: left out {counted(dataset.skipped, 'broken file')}")
    return dataset


def load_training_data(spec: DataSpec, watch: Watch | None = None) -> Dataset:
    """Load the segments a spec names, without the subjects it excludes.

    Raises:
        SpecError: the spec names no directory.
        DataError: the directory cannot be used.
    """
    if spec.train is None:
        raise SpecError("no training data: set data.train in the spec, or give --train DIR")
    dataset = load_segments(Path(spec.train), watch or Watch(), skip_bad=spec.skip_bad)
    if not spec.exclude_subjects:
        return dataset
    return dataset.select(~np.isin(dataset.subjects, spec.exclude_subjects))
