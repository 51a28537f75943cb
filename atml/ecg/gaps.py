"""Where a recording has no signal: missing samples, and flat lines of an electrode that was off."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atml.ecg.sources.recording import Recording

FLAT_SECONDS = 2.0  # no heart is constant for so long, so the electrode was off
MISSING, FLAT = "missing samples", "flat line"
_PART = 1 << 20  # samples read at a time


@dataclass(frozen=True, kw_only=True, order=True)
class Gap:
    """A part of a recording without a signal."""

    start: int  # sample
    end: int  # exclusive
    reason: str  # MISSING or FLAT


def gaps(
    recording: Recording, *, progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[Gap, ...]:
    """Return all gaps in order of their beginnings: NaN or infinity, and flat lines of 2 s and more.

    The signal is read once, part by part. `progress` is called with (samples done, samples in total).

    Raises:
        BadRecording: it cannot be read.
    """
    signal, total = recording.signal, len(recording.signal)
    missing = _Stretches(shortest=1)
    same = _Stretches(shortest=FLAT_SECONDS * recording.rate_hz)  # samples equal to the one before
    for start in range(0, total, _PART):
        before, end = max(0, start - 1), min(start + _PART, total)
        samples = signal[before:end]
        missing.add(start, ~np.isfinite(samples[start - before :]))
        same.add(before + 1, samples[1:] == samples[:-1])
        progress(end, total)
    found = [Gap(start=start, end=end, reason=MISSING) for start, end in missing]
    found += [Gap(start=start - 1, end=end, reason=FLAT) for start, end in same]
    return tuple(sorted(found))


def runs(found: tuple[Gap, ...], samples: int) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of the parts of a recording of `samples` samples between its gaps."""
    end = 0
    for gap in (*found, Gap(start=samples, end=samples, reason=MISSING)):
        if gap.start > end:
            yield end, gap.start
        end = max(end, gap.end)


def missing_seconds(recording: Recording, found: tuple[Gap, ...]) -> float:
    """Return the length of all gaps together."""
    total = len(recording.signal)
    return (total - sum(end - start for start, end in runs(found, total))) / recording.rate_hz


class _Stretches:
    """Stretches of true values in a mask that comes in parts."""

    def __init__(self, *, shortest: float) -> None:
        self._shortest = shortest
        self._found: list[list[int]] = []

    def add(self, start: int, mask: NDArray[np.bool_]) -> None:
        edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]]))) + start
        first, last = edges[::2], edges[1::2]
        # One that touches the end of a part may go on in the next.
        kept = (last - first >= self._shortest) | (first == start) | (last == start + len(mask))
        for one in np.stack([first, last], axis=1)[kept].tolist():
            if self._found and self._found[-1][1] == one[0]:
                self._found[-1][1] = one[1]
            else:
                self._found.append(one)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((start, end) for start, end in self._found if end - start >= self._shortest)
