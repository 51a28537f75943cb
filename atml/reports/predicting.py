"""Scoring whole recordings: a score for each segment, episodes, and the share of answered time in them."""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from atml.ecg.cutting import cut_in_parts
from atml.ecg.gaps import Gap, gaps
from atml.ecg.segment import SAMPLING_RATE_HZ
from atml.ecg.sources.finding import is_recording
from atml.ecg.sources.iesd import Problem
from atml.ecg.sources.recording import Item, Recording
from atml.errors import DataError
from atml.evaluation import confidence
from atml.evaluation.episodes import TOLERANCE_SECONDS, Episode, find_episodes
from atml.export import OnnxClassifier
from atml.service.watch import Update

EPISODE_RULE = (
    "consecutive segments called AFIB, each beginning where the one before ends; a part without a score or "
    "an answer ends an episode"
)
NO_ANSWER = "no answer: the score is near the threshold"


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordingPart:
    """A segment with its score, or a part of the recording that has none."""

    start_seconds: float  #: Where it begins, in seconds since the recording's beginning.
    end_seconds: float  #: Where it ends.
    probability: float | None  #: Score from 0 to 1; None without one.
    called: str | None  #: AFIB if the score is at least the threshold; None without a score or an answer.
    reason: str | None  #: Why there is no score or no answer; None if there is one.


@dataclass(frozen=True, kw_only=True)
class RecordingPrediction:
    """The scores of one recording and what follows from them."""

    record: str  #: Name of the recording.
    channel: str  #: The channel that was scored.
    rate_hz: float  #: Sampling rate of the source.
    seconds: float  #: Length.
    scored_seconds: float  #: Length of all segments with a score together, answered or not.
    answered_seconds: float  #: Length of all segments with an answer together: called AFIB or Normal.
    burden: float | None  #: Share of `answered_seconds` that lies in `episodes`; None if nothing is answered.
    threshold: float  #: Lowest score that counts as AFIB.
    minimum_seconds: float  #: Shorter episodes are left out.
    episodes: tuple[Episode, ...]  #: Episodes in order of time.
    parts: tuple[RecordingPart, ...]  #: All of the recording, in order of time.


def predict_items(
    classifier: OnnxClassifier,
    items: Sequence[Item],
    *,
    threshold: float | None = None,
    least_confidence: float = 0.5,
    minimum_seconds: float = 0.0,
    skipped: Callable[[str], None] | None = None,
    progress: Update = lambda done, total: None,
) -> Iterator[RecordingPrediction]:
    """Yield the prediction of each recording in turn.

    Segments whose score has less than `least_confidence` get no answer: they are not called anything and
    end an episode. `skipped`, if given, receives the name of each recording that cannot be read and why.
    `progress` receives the seconds done and in all, of one recording at a time.

    Raises:
        DataError: a recording cannot be read and `skipped` is None; names it.
    """
    limit = classifier.metadata.threshold if threshold is None else threshold
    names: Counter[str] = Counter()

    def predict(recording: Recording) -> RecordingPrediction:
        return _predict(classifier, recording, limit, least_confidence, minimum_seconds, progress)

    for item in items:
        for found in item.each(predict):
            if not isinstance(found, Problem):
                names[found.record] += 1
                count = names[found.record]
                yield found if count == 1 else replace(found, record=f"{found.record} ({count})")
            elif skipped is None:
                raise DataError(str(found))
            else:
                skipped(str(found))


def _predict(
    classifier: OnnxClassifier,
    recording: Recording,
    threshold: float,
    least_confidence: float,
    minimum_seconds: float,
    progress: Update,
) -> RecordingPrediction:
    seconds, length = recording.seconds, classifier.segment_length
    # Looking for gaps reads the signal once, and takes about a fifth of the time.
    found = gaps(
        recording, progress=lambda done, total: progress(int(0.2 * seconds * done / total), int(seconds))
    )
    starts, ends, scores = ([np.empty(0, np.float64)] for _ in range(3))
    for first, step, segments in cut_in_parts(recording, length, found):
        starts.append(first + np.arange(len(segments), dtype=np.float64) * step)
        ends.append(starts[-1] + step)
        scores.append(classifier.probabilities(segments))
        progress(int(0.2 * seconds + 0.8 * ends[-1][-1]), int(seconds))
    start, end, score = (np.concatenate(one) for one in (starts, ends, scores))
    sure = confidence(score, threshold) >= least_confidence
    episodes = find_episodes(
        start[sure], end[sure], score[sure], threshold=threshold, minimum_seconds=minimum_seconds
    )
    classes = classifier.metadata.classes
    scored = [
        RecordingPart(
            start_seconds=first,
            end_seconds=last,
            probability=probability,
            called=classes[int(probability >= threshold)] if answered else None,
            reason=None if answered else NO_ANSWER,
        )
        for first, last, probability, answered in zip(
            start.tolist(), end.tolist(), score.tolist(), sure.tolist(), strict=True
        )
    ]
    too_short = f"less than {length / SAMPLING_RATE_HZ:g} s of signal"
    answered_seconds = float((end - start)[sure].sum())
    afib_seconds = sum(one.duration_seconds for one in episodes)
    return RecordingPrediction(
        record=recording.record,
        channel=recording.channel,
        rate_hz=recording.rate_hz,
        seconds=seconds,
        scored_seconds=float((end - start).sum()),
        answered_seconds=answered_seconds,
        burden=min(1.0, afib_seconds / answered_seconds) if sure.any() else None,
        threshold=threshold,
        minimum_seconds=minimum_seconds,
        episodes=episodes,
        parts=tuple(_with_unscored(scored, recording, found, too_short)),
    )


def _with_unscored(
    scored: Sequence[RecordingPart], recording: Recording, found: Sequence[Gap], too_short: str
) -> Iterator[RecordingPart]:
    """Yield the scored segments and the parts between them, which have gaps or are `too_short`."""
    waiting, done = deque(found), 0.0
    for part in (*scored, None):
        end = part.start_seconds if part else recording.seconds
        if end - done > TOLERANCE_SECONDS:
            reasons = []
            while waiting and waiting[0].start < end * recording.rate_hz:
                reasons.append(waiting.popleft().reason)
            yield RecordingPart(
                start_seconds=done,
                end_seconds=end,
                probability=None,
                called=None,
                reason=" and ".join(dict.fromkeys(reasons)) or too_short,
            )
        if part:
            yield part
            done = part.end_seconds


def recording_path(path: Path) -> Path | None:
    """Return a path that holds recordings, with `.hea` if it names a WFDB record; `None` for segments."""
    if path.is_dir():
        return path
    header = path.with_name(f"{path.name}.hea")
    if not path.exists() and header.is_file():
        return header
    return path if is_recording(path) else None
