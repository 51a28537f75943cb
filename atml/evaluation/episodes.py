"""Episodes of atrial fibrillation in consecutive segments, and how well they are found.

Sensitivity and positive predictivity of episodes and of their durations follow ANSI/AAMI EC57 (and IEC
60601-2-47, which takes them over): an annotated episode is detected if any part of it is called AFIB, and a
called episode is right if any part of it is annotated. Both consist of segments, so AFIB that is shorter than
a segment is not counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from atml.evaluation.stored import Stored

TOLERANCE_SECONDS = 0.01  # within which one segment begins where another ends; times are rounded


@dataclass(frozen=True, kw_only=True)
class Episode:
    """An episode of atrial fibrillation: consecutive segments called AFIB."""

    start_seconds: float  #: Where it begins, in seconds since the recording's beginning.
    end_seconds: float  #: Where it ends.
    duration_seconds: float  #: Its length.
    segments: int  #: Number of its segments.
    mean_probability: float  #: Mean score of its segments.


@dataclass(frozen=True, kw_only=True)
class EpisodeCounts:
    """How well annotated AFIB episodes are found; a rate is None where it would divide by 0.

    An episode is a sequence of segments of one recording. If the import left out less than a segment's length
    at a change of rhythm, that does not end it; a gap does. AFIB shorter than a segment is not counted, and
    durations are those of segments.
    """

    annotated_episodes: int  #: Sequences of consecutive segments labelled AFIB.
    detected_episodes: int  #: Number of annotated episodes of which any part is called AFIB.
    called_episodes: int  #: Sequences of consecutive segments called AFIB.
    right_episodes: int  #: Number of called episodes of which any part is labelled AFIB.
    annotated_seconds: float  #: Duration labelled AFIB.
    called_seconds: float  #: Duration called AFIB.
    right_seconds: float  #: Duration both labelled and called AFIB.
    sensitivity: float | None  #: `detected_episodes` / `annotated_episodes`.
    positive_predictivity: float | None  #: `right_episodes` / `called_episodes`.
    duration_sensitivity: float | None  #: `right_seconds` / `annotated_seconds`.
    duration_positive_predictivity: float | None  #: `right_seconds` / `called_seconds`.


@dataclass(frozen=True, kw_only=True)
class EpisodeMetrics(Stored):
    """Episode statistics after ANSI/AAMI EC57."""

    pooled: EpisodeCounts  #: Of all recordings together: the "gross" statistics of EC57.


def find_episodes(
    starts: ArrayLike, ends: ArrayLike, scores: ArrayLike, *, threshold: float, minimum_seconds: float = 0.0
) -> tuple[Episode, ...]:
    """Return the AFIB episodes of one recording.

    An episode is a longest sequence of segments with scores of at least `threshold`, each of which begins
    where the one before ends. So a segment without a score ends an episode, and never extends one.

    Args:
        starts: Beginnings [n] of the scored segments, in seconds and in order.
        ends: Their ends [n] in seconds.
        scores: Their P(AFIB) [n].
        threshold: Lowest score that counts as AFIB.
        minimum_seconds: Shorter episodes are left out.
    """
    start, end, score = (np.asarray(one, dtype=np.float64) for one in (starts, ends, scores))
    found = (
        Episode(
            start_seconds=float(start[first]),
            end_seconds=float(end[last]),
            duration_seconds=float(end[last] - start[first]),
            segments=last - first + 1,
            mean_probability=float(score[first : last + 1].mean()),
        )
        for first, last in _sequences(score >= threshold, np.abs(start[1:] - end[:-1]) <= TOLERANCE_SECONDS)
    )
    return tuple(one for one in found if one.duration_seconds >= minimum_seconds - TOLERANCE_SECONDS)


def evaluate_episodes(
    subjects: Sequence[str],
    records: Sequence[str],
    starts: ArrayLike,
    parts: Sequence[int | None],
    labels: ArrayLike,
    called: ArrayLike,
    *,
    segment_seconds: float,
) -> EpisodeMetrics:
    """Return how well the annotated episodes are found.

    Both kinds of episode are sequences of consecutive segments. Segments are cut from the beginning of each
    rhythm, so a change of rhythm leaves out the signal between the last whole segment and the change. Where
    less than the length of a segment is left out and it holds no gap, the segments around it are consecutive,
    as they are when `find_episodes` is given a recording without rhythms. Where the parts are not known,
    signal left out and gaps look alike, and both end an episode.

    Recordings of different subjects may have the same name.

    Args:
        subjects: Subject [n] of each segment.
        records: Recording [n] of each segment.
        starts: Its beginning [n] in seconds since the recording's beginning.
        parts: Number [n] of the uninterrupted part of the recording that it lies in; None if not known.
        labels: 1 [n] if it is annotated as AFIB, otherwise 0.
        called: Whether it is called AFIB [n].
        segment_seconds: Length of each segment.
    """
    start, label, call = np.asarray(starts, float), np.asarray(labels) == 1, np.asarray(called, bool)
    part = np.array([np.nan if one is None else one for one in parts], float)
    pairs = list(zip(subjects, records, strict=True))
    numbers = {pair: number for number, pair in enumerate(dict.fromkeys(pairs))}
    record = np.array([numbers[pair] for pair in pairs], np.int64)
    order = np.lexsort((start, record))
    follows = _follow(start[order], part[order], segment_seconds) & (np.diff(record[order]) == 0)
    return EpisodeMetrics(pooled=_counts(follows, label[order], call[order], segment_seconds))


def _follow(start: NDArray[np.float64], part: NDArray[np.float64], seconds: float) -> NDArray[np.bool_]:
    """Return whether each segment [n - 1] but the first continues the one before."""
    between = np.abs(np.diff(start) - seconds)
    limit = np.where(np.diff(part) == 0, seconds - TOLERANCE_SECONDS, TOLERANCE_SECONDS)
    follows: NDArray[np.bool_] = between <= limit
    return follows


def _sequences(wanted: NDArray[np.bool_], follows: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return (first, last) of the longest sequences of wanted segments that follow one another."""
    joined = wanted[1:] & wanted[:-1] & follows
    firsts = np.flatnonzero(wanted & np.concatenate([[True], ~joined]))
    lasts = np.flatnonzero(wanted & np.concatenate([~joined, [True]]))
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))


def _counts(
    follows: NDArray[np.bool_], label: NDArray[np.bool_], call: NDArray[np.bool_], seconds: float
) -> EpisodeCounts:
    annotated, called = (_sequences(one, follows) for one in (label, call))
    detected = sum(bool(call[first : last + 1].any()) for first, last in annotated)
    right = sum(bool(label[first : last + 1].any()) for first, last in called)
    annotated_seconds, called_seconds, right_seconds = (
        int(one.sum()) * seconds for one in (label, call, label & call)
    )
    return EpisodeCounts(
        annotated_episodes=len(annotated),
        detected_episodes=detected,
        called_episodes=len(called),
        right_episodes=right,
        annotated_seconds=annotated_seconds,
        called_seconds=called_seconds,
        right_seconds=right_seconds,
        sensitivity=detected / len(annotated) if annotated else None,
        positive_predictivity=right / len(called) if called else None,
        duration_sensitivity=right_seconds / annotated_seconds if annotated else None,
        duration_positive_predictivity=right_seconds / called_seconds if called else None,
    )
