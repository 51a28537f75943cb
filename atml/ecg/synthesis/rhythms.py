"""The rhythms: the times of the beats and the origin of each."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from atml.ecg.segment import AFIB_RHYTHM
from atml.ecg.synthesis.heart import Floats, Heart, Rng, about, between

MARGIN_SECONDS = 1.0  # drawn on either side and cut off, so that segments start and end mid-rhythm
SHORTEST_RR_SECONDS = 0.28

SINUS, EARLY, JUNCTIONAL, VENTRICULAR = range(4)  # kinds of beat: the last two have no P wave


@dataclass(frozen=True, kw_only=True)
class Beats:
    """R-peak times ``[beats]`` in seconds from the segment's start, and the kind of each beat."""

    times: Floats
    kinds: NDArray[np.int64]


def _beats(rng: Rng, rr: Floats, kinds: NDArray[np.int64]) -> Beats:
    """Join RR intervals, with the first beat somewhere in the leading margin."""
    rr = np.maximum(rr, SHORTEST_RR_SECONDS)
    start = -MARGIN_SECONDS - rng.uniform(0.0, rr[0])
    return Beats(times=start + np.concatenate(([0.0], np.cumsum(rr[1:]))), kinds=kinds)


def _count(seconds: float, rr_seconds: float) -> int:
    # Twice the average number: short intervals must not leave the end of a segment empty.
    return int(2.0 * (seconds + 2 * MARGIN_SECONDS) / rr_seconds) + 6


def _sinus_intervals(rng: Rng, heart: Heart, mean: float, count: int) -> Floats:
    """Regular intervals with respiration (0.15–0.35 Hz), slow drift and jitter on top."""
    beat = np.arange(count)
    breathing = np.sin(2 * np.pi * between(rng, 0.15, 0.35) * mean * beat + rng.uniform(0, 2 * np.pi))
    drift = np.sin(2 * np.pi * between(rng, 0.04, 0.12) * mean * beat + rng.uniform(0, 2 * np.pi))
    change = breathing + 0.7 * drift + 0.3 * rng.standard_normal(count)
    return np.asarray(mean * (1 + heart.sinus_variability * change), dtype=np.float64)


def _make_premature(rng: Rng, rr: Floats, beat: int, kind: int) -> None:
    coupling = between(rng, 0.55, 0.8)
    pause = between(rng, 1.0, 1.25) if kind == EARLY else 2.0 - coupling  # compensatory
    rr[beat] *= coupling
    if beat + 1 < len(rr):
        rr[beat + 1] *= pause


def _sinus(rng: Rng, heart: Heart, seconds: float, mean: float, ectopy: float) -> Beats:
    rr = _sinus_intervals(rng, heart, mean, _count(seconds, mean))
    kinds = np.full(len(rr), SINUS)
    if rng.random() < ectopy:
        within = int((seconds + MARGIN_SECONDS) / mean)
        for beat in 1 + rng.choice(within, size=min(within, int(rng.integers(1, 4))), replace=False):
            kinds[beat] = EARLY if rng.random() < 0.65 else VENTRICULAR
            _make_premature(rng, rr, int(beat), int(kinds[beat]))
    return _beats(rng, rr, kinds)


def normal(rng: Rng, heart: Heart, seconds: float, ectopy: float | None = None) -> Beats:
    """Sinus rhythm with occasional premature beats, which real records also label normal."""
    mean = float(np.clip(heart.sinus_rr_seconds * about(rng, 1.0, 0.15), 0.45, 1.0))
    return _sinus(rng, heart, seconds, mean, heart.ectopy if ectopy is None else ectopy)


def bradycardia(rng: Rng, heart: Heart, seconds: float) -> Beats:
    """Sinus rhythm below 60 beats a minute."""
    return _sinus(rng, heart, seconds, between(rng, 1.06, 1.5), 0.3 * heart.ectopy)


def grouped(rng: Rng, heart: Heart, seconds: float, every: int, kind: int) -> Beats:
    """Every second or third beat is an early one: bigeminy or trigeminy."""
    mean = heart.sinus_rr_seconds * about(rng, 1.0, 0.08)
    rr = _sinus_intervals(rng, heart, mean, _count(seconds, mean))
    kinds = np.full(len(rr), SINUS)
    coupling = between(rng, 0.55, 0.75)
    pause = between(rng, 1.05, 1.4) if kind == EARLY else 2.0 - coupling
    for beat in range(int(rng.integers(0, every)), len(rr), every):
        kinds[beat] = kind
        rr[beat] *= coupling
        rr[beat + 1 : beat + 2] *= pause
    return _beats(rng, rr, kinds)


def supraventricular_tachycardia(rng: Rng, heart: Heart, seconds: float) -> Beats:
    """Fast, regular and narrow; the P wave is hidden in half of the segments."""
    mean = between(rng, 0.4, 0.7) * heart.sinus_rr_seconds
    rr = mean * (1 + 0.008 * rng.standard_normal(_count(seconds, mean)))
    return _beats(rng, rr, np.full(len(rr), JUNCTIONAL if rng.random() < 0.5 else EARLY))


def fibrillation(rng: Rng, heart: Heart, seconds: float) -> Beats:
    """Irregularly irregular: independent log-normal intervals, no P wave."""
    mean = max(heart.af_rr_seconds * about(rng, 1.0, 0.2), 0.38)
    spread = heart.af_irregularity * between(rng, 0.6, 1.3)
    rr = mean * np.exp(spread * rng.standard_normal(_count(seconds, mean)))
    kinds = np.full(len(rr), JUNCTIONAL)
    if rng.random() < 0.4 * heart.ectopy:
        kinds[rng.integers(1, len(kinds), size=2)] = VENTRICULAR
    return _beats(rng, rr, kinds)


RHYTHMS: dict[str, Callable[[Rng, Heart, float], Beats]] = {
    "N": normal,
    AFIB_RHYTHM: fibrillation,
    "SBR": bradycardia,
    "": partial(normal, ectopy=0.5),  # not annotated
    "AB": partial(grouped, every=2, kind=EARLY),
    "T": partial(grouped, every=3, kind=VENTRICULAR),
    "B": partial(grouped, every=2, kind=VENTRICULAR),
    "SVTA": supraventricular_tachycardia,
}
