"""How well a model finds the episodes of the recordings that segments were cut from."""

import numpy as np
from numpy.typing import NDArray

from atml.ecg import Dataset
from atml.ecg.provenance import place_of, read_index, read_provenance
from atml.evaluation import EpisodeMetrics, evaluate_episodes


def episodes_of(dataset: Dataset, called: NDArray[np.bool_]) -> EpisodeMetrics | None:
    """Return the episode statistics of answers to segments.

    In what an earlier version imported, a change of rhythm that leaves out signal ends an episode as a gap
    does: which of the two it is was not recorded.

    Args:
        dataset: The segments.
        called: Whether each [n] is called AFIB.

    Returns:
        None unless `atml data import` made the segments and cut them one right after another.

    Raises:
        DataError: the provenance beside the segments is damaged.
    """
    provenance = read_provenance(dataset.source) or {}
    seconds = provenance.get("segment_seconds")
    if seconds is None or provenance.get("step_seconds") != seconds:
        return None
    index = {place_of(one.file): one for one in read_index(dataset.source)}
    places = map(place_of, dataset.files if dataset.store_names else ())
    known = [index[place] for place in places if place in index]
    if len(known) < len(dataset):
        return None  # segments were added by hand
    return evaluate_episodes(
        dataset.subjects.tolist(),
        [one.record for one in known],
        [one.start_seconds for one in known],
        [one.part for one in known],
        dataset.labels,
        called,
        segment_seconds=float(seconds),
    )
