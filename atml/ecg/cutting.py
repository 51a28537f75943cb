"""Recordings → segments: 250 Hz, 0.5–50 Hz, 5 s wholly within one rhythm."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import ceil

import numpy as np
from numpy.typing import NDArray

from atml.ecg.segment import SAMPLING_RATE_HZ
from atml.ecg.sources.recording import Recording, checked_rate
from atml.errors import BadRecording

SEGMENT_SECONDS = 5.0
PASS_BAND_HZ = (0.5, 50.0)
FILTER_ORDER = 4
FILTER = (
    f"Butterworth band-pass {PASS_BAND_HZ[0]:g} to {PASS_BAND_HZ[1]:g} Hz of order {FILTER_ORDER}, "
    "applied forwards and backwards"
)
FLAT_SECONDS = 2.0  # no heart is constant for so long, so the electrode was off
LARGEST_SAMPLE = 1e12  # no converter counts that far, in whatever unit
_LARGEST_FACTOR = 1000  # of resampling; a rate is met within one part in a million
_TOLERANCE = 1e-6  # of a sample, for rounding


@dataclass(frozen=True, kw_only=True, eq=False)
class Cut:
    """A segment of a recording."""

    rhythm: str
    start_seconds: float  # since the recording's beginning
    samples: NDArray[np.float64]  # [1250]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Run:
    """An uninterrupted part of a recording, resampled and filtered."""

    start_seconds: float
    rate_hz: float  # 250, but for rounding
    samples: NDArray[np.float64]


def cut(recording: Recording, *, step_seconds: float = SEGMENT_SECONDS) -> Iterator[Cut]:
    """Yield the segments of a recording, in order of time.

    The first segment of a rhythm begins with it, the next `step_seconds` later. None contains a change of
    rhythm, a missing sample or part of a flat line.

    Raises:
        BadRecording: the sampling rate is unusable, a sample is too large, or there is no signal at all.
    """
    length = round(SEGMENT_SECONDS * SAMPLING_RATE_HZ)
    step = max(1, round(step_seconds * SAMPLING_RATE_HZ))
    for run in _runs(recording):
        for span in recording.spans:
            first = (span.start_seconds - run.start_seconds) * run.rate_hz
            last = (span.end_seconds - run.start_seconds) * run.rate_hz
            start = max(0, ceil(first - _TOLERANCE))
            while start + length <= min(len(run.samples), last + _TOLERANCE):
                yield Cut(
                    rhythm=span.rhythm,
                    start_seconds=run.start_seconds + start / run.rate_hz,
                    samples=run.samples[start : start + length],
                )
                start += step


def missing(recording: Recording) -> NDArray[np.bool_]:
    """Return where a recording has no signal: `[samples]`, true for NaN, infinity and long flat lines."""
    signal = recording.signal
    gone = ~np.isfinite(signal)
    same = np.concatenate([[False], signal[1:] == signal[:-1], [False]])
    edges = np.flatnonzero(np.diff(np.concatenate([[0], same.astype(np.int8), [0]])))
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        if end - start >= FLAT_SECONDS * recording.rate_hz:
            gone[start - 1 : end] = True
    return gone


def _runs(recording: Recording) -> Iterator[_Run]:
    rate_hz = checked_rate(recording.rate_hz)
    there = ~missing(recording)
    if not there.any():
        raise BadRecording("has no signal, only gaps and flat lines; choose another channel with --lead")
    largest = float(np.abs(recording.signal[there]).max())
    if largest > LARGEST_SAMPLE:
        raise BadRecording(f"holds a sample of {largest:g}, which is no ECG; export or fetch it again")
    edges = np.flatnonzero(np.diff(np.concatenate([[0], there.astype(np.int8), [0]])))
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if end - start >= SEGMENT_SECONDS * rate_hz:
            samples, achieved = resample(recording.signal[start:end], rate_hz)
            yield _Run(start_seconds=start / rate_hz, rate_hz=achieved, samples=band_pass(samples))


def resample(signal: NDArray[np.float64], rate_hz: float) -> tuple[NDArray[np.float64], float]:
    """Return a signal at 250 Hz, and the rate met (within one part in a million); polyphase filter."""
    from scipy.signal import resample_poly

    factor = Fraction(SAMPLING_RATE_HZ / rate_hz).limit_denominator(_LARGEST_FACTOR)
    if factor == 1:
        return signal, rate_hz
    # "line" continues an offset beyond the ends, where zeros would make a step.
    resampled = resample_poly(signal, factor.numerator, factor.denominator, padtype="line")
    return np.asarray(resampled, dtype=np.float64), rate_hz * float(factor)


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
