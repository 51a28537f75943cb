"""Recordings → segments: 250 Hz, 0.5–50 Hz, 5 s wholly within one rhythm."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import ceil

import numpy as np
from numpy.typing import NDArray

from atml.ecg.gaps import Gap, runs
from atml.ecg.segment import SAMPLING_RATE_HZ
from atml.ecg.sources.recording import Recording, Signal, checked_rate
from atml.errors import BadRecording

SEGMENT_SECONDS = 5.0
PASS_BAND_HZ = (0.5, 50.0)
FILTER_ORDER = 4
FILTER = (
    f"Butterworth band-pass {PASS_BAND_HZ[0]:g} to {PASS_BAND_HZ[1]:g} Hz of order {FILTER_ORDER}, "
    "applied forwards and backwards"
)
LARGEST_SAMPLE = 1e12  # no converter counts that far, in whatever unit
_PART_SECONDS = 600.0  # of a recording that is filtered in parts
# Added to each part at both ends. The slowest pole of the filter decays with a time constant of 0.8 s.
_MARGIN_SECONDS = 60.0
# Of the factor of resampling. Whole rates up to 10 kHz are met exactly, others within 100 parts in a million.
_LARGEST_DENOMINATOR = 10_000
_TOLERANCE = 1e-6  # of a sample, for rounding


@dataclass(frozen=True, kw_only=True, eq=False)
class Cut:
    """A segment of a recording."""

    rhythm: str
    start_seconds: float  # since the recording's beginning
    part: int  # number of the uninterrupted part of the recording that it lies in
    samples: NDArray[np.float64]  # [1250]


def cut(
    recording: Recording, found: tuple[Gap, ...], *, step_seconds: float = SEGMENT_SECONDS
) -> Iterator[Cut]:
    """Yield the segments of a recording with these `gaps`, in order of time.

    The first segment of a rhythm begins with it, the next `step_seconds` later, or after the gap there. None
    contains a change of rhythm, a missing sample or part of a flat line.

    Raises:
        BadRecording: the sampling rate is unusable, a sample is too large, or there is no signal at all.
    """
    length = round(SEGMENT_SECONDS * SAMPLING_RATE_HZ)
    step = max(1, round(step_seconds * SAMPLING_RATE_HZ))
    next_seconds = [span.start_seconds for span in recording.spans]  # when the next segment may begin
    for part, (begin, rate_hz, samples) in enumerate(_runs(recording, found)):
        for index, span in enumerate(recording.spans):
            first, last = ((at - begin) * rate_hz for at in (next_seconds[index], span.end_seconds))
            start = max(0, ceil(first - _TOLERANCE))
            while start + length <= min(len(samples), last + _TOLERANCE):
                yield Cut(
                    rhythm=span.rhythm,
                    start_seconds=begin + start / rate_hz,
                    part=part,
                    samples=samples[start : start + length],
                )
                start += step
                next_seconds[index] = begin + start / rate_hz


def _runs(recording: Recording, found: tuple[Gap, ...]) -> Iterator[tuple[float, float, NDArray[np.float64]]]:
    """Yield the start in seconds, the rate met and the filtered samples of each uninterrupted part."""
    rate_hz = checked_rate(recording.rate_hz)
    parts = list(runs(found, len(recording.signal)))
    if not parts:
        raise BadRecording("has no signal, only gaps and flat lines; choose another channel with --lead")
    for start, end in parts:
        if end - start >= SEGMENT_SECONDS * rate_hz:
            samples, achieved = resample(_checked(recording.signal[start:end]), rate_hz)
            yield start / rate_hz, achieved, band_pass(samples)


def _checked(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    largest = float(np.abs(samples).max())
    if largest > LARGEST_SAMPLE:
        raise BadRecording(f"holds a sample of {largest:g}, which is no ECG; export or fetch it again")
    return samples


def cut_in_parts(
    recording: Recording, length: int, found: tuple[Gap, ...]
) -> Iterator[tuple[float, float, NDArray[np.float64]]]:
    """Yield the segments of a recording without rhythms, reading, resampling and filtering part by part.

    They are those that `cut` would make of one rhythm from end to end: the first begins with the recording
    or after a gap, each next one where the last ended.

    Args:
        recording: The recording; its signal may be longer than the memory.
        length: Samples of a segment.
        found: Its `gaps`.

    Yields:
        Start of the first segment and distance of the next ones in seconds, and segments `[n, length]`.

    Raises:
        BadRecording: the sampling rate is unusable, or the signal cannot be read.
    """
    rate_hz = checked_rate(recording.rate_hz)
    for start, end in runs(found, len(recording.signal)):
        if end - start < length / SAMPLING_RATE_HZ * rate_hz:
            continue
        rest, done = np.empty(0), 0
        for samples, achieved in _filtered_parts(recording.signal, start, end, rate_hz):
            samples = np.concatenate([rest, samples])
            count = len(samples) // length
            segments, rest = samples[: count * length].reshape(count, length), samples[count * length :]
            if count:
                yield start / rate_hz + done * length / achieved, length / achieved, segments
            done += count


def _filtered_parts(
    signal: Signal, start: int, end: int, rate_hz: float
) -> Iterator[tuple[NDArray[np.float64], float]]:
    """Yield a run's samples at 250 Hz and 0.5 to 50 Hz, part by part, and the rate met."""
    factor = _factor(rate_hz)
    # Multiples of the denominator, so that each part begins at a sample of 250 Hz.
    part, margin = (
        ceil(seconds * rate_hz / factor.denominator) * factor.denominator
        for seconds in (_PART_SECONDS, _MARGIN_SECONDS)
    )
    for own in range(start, end, part):
        first = max(start, own - margin)
        samples, achieved = resample(_checked(signal[first : min(own + part + margin, end)]), rate_hz)
        skipped = (own - first) // factor.denominator * factor.numerator
        taken = part // factor.denominator * factor.numerator
        yield band_pass(samples)[skipped : skipped + taken], achieved


def resample(signal: NDArray[np.float64], rate_hz: float) -> tuple[NDArray[np.float64], float]:
    """Return a signal at 250 Hz, and the rate met (within 100 parts in a million); polyphase filter."""
    from scipy.signal import resample_poly

    factor = _factor(rate_hz)
    if factor == 1:
        return signal, rate_hz
    # "line" continues an offset beyond the ends, where zeros would make a step.
    resampled = resample_poly(signal, factor.numerator, factor.denominator, padtype="line")
    return np.asarray(resampled, dtype=np.float64), rate_hz * float(factor)


def _factor(rate_hz: float) -> Fraction:
    return Fraction(SAMPLING_RATE_HZ / rate_hz).limit_denominator(_LARGEST_DENOMINATOR)


def band_pass(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the 0.5 to 50 Hz of a signal at 250 Hz, without delay; 6 dB are lost at both ends."""
    from scipy.signal import sosfiltfilt

    # The filter settles in two seconds.
    return np.asarray(sosfiltfilt(_filter(), samples, padlen=min(len(samples) - 1, 2 * SAMPLING_RATE_HZ)))


@lru_cache(maxsize=1)
def _filter() -> NDArray[np.float64]:
    from scipy.signal import butter

    sections = butter(FILTER_ORDER, PASS_BAND_HZ, "bandpass", fs=SAMPLING_RATE_HZ, output="sos")
    return np.asarray(sections, dtype=np.float64)
