"""Evaluating a model file on segments, shared by finalize and `atml evaluate`."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from atml.ecg import Dataset
from atml.ecg.provenance import place_of, read_index, read_provenance
from atml.errors import DataError
from atml.evaluation import Abstention, EpisodeMetrics, Metrics, abstain, evaluate, evaluate_episodes
from atml.export import OnnxClassifier

CHUNK = 4096


@dataclass(frozen=True, kw_only=True)
class Evaluation(Metrics):
    """The metrics of a model on given segments.

    Segments that get no answer count as those that do: each as it would be called.
    """

    #: Figures of the segments that get an answer; None unless the bundle was made to withhold some.
    answered: Abstention | None = None
    #: How many of the subjects have the names of training subjects. Unless these are other people, the
    #: figures are too good. None if the model is in no bundle, so that its training subjects are not known.
    training_subjects: int | None = None


def scores(classifier: OnnxClassifier, dataset: Dataset) -> NDArray[np.float64]:
    """Return P(AFIB) [n] of the segments.

    Raises:
        DataError: there are no segments, or they do not have the model's length.
    """
    if not len(dataset):
        raise DataError(f"{dataset.source}: no segments to score")
    if dataset.segment_length != classifier.segment_length:
        raise DataError(
            f"{dataset.source}: segments have {dataset.segment_length} samples but the model takes "
            f"{classifier.segment_length}; use segments of the length it was trained on"
        )
    found = [
        classifier.probabilities(dataset.samples(np.arange(start, min(start + CHUNK, len(dataset)))))
        for start in range(0, len(dataset), CHUNK)
    ]
    return np.concatenate(found)


def assess(classifier: OnnxClassifier, dataset: Dataset, *, beta: float) -> Metrics:
    """Return the metrics of a model file at its own threshold."""
    found = scores(classifier, dataset)
    return metrics_of(dataset, found, threshold=classifier.metadata.threshold, beta=beta)


def answered_of(
    dataset: Dataset,
    scores: NDArray[np.float64],
    *,
    threshold: float,
    least_confidence: float,
    beta: float,
) -> Abstention:
    """Return the figures of those segments, with scores [n], whose answers have `least_confidence`."""
    return abstain(
        dataset.labels,
        scores,
        dataset.subjects,
        dataset.rhythms,
        threshold=threshold,
        least_confidence=least_confidence,
        beta=beta,
    )


def metrics_of(dataset: Dataset, scores: NDArray[np.float64], *, threshold: float, beta: float) -> Metrics:
    """Return the metrics of scores [n] of the segments, with those of episodes if there are any."""
    scores = scores.astype(np.float64)  # so that both see the same comparison with the threshold
    metrics = evaluate(
        dataset.labels, scores, dataset.subjects, dataset.rhythms, threshold=threshold, beta=beta
    )
    return replace(metrics, episodes=episodes_of(dataset, scores >= threshold))


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
