"""One simulated heart: the shape of its waves, its rates and how noisy its recordings are.

A beat is a sum of Gaussians in time around its R peak (after McSharry et al. 2003, *A dynamical
model for generating synthetic electrocardiogram signals*). Amplitudes are in units of the R wave,
times in seconds.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

POSTURE = 0.45  # standard deviation, in log, of a wave's height between hours

Floats = NDArray[np.float64]
Rng = np.random.Generator


@dataclass(frozen=True, kw_only=True)
class Waves:
    """Gaussians of one beat, all arrays ``[waves]``; a T wave rises more slowly than it falls."""

    amplitude: Floats
    centre: Floats  # seconds after the R peak
    rise: Floats  # standard deviation before the centre, seconds
    fall: Floats  # standard deviation after it


@dataclass(frozen=True, kw_only=True)
class Heart:
    """What stays the same in all segments of one subject."""

    atrial: Waves
    narrow: Waves  # QRS and T of a beat that came through the AV node
    wide: Waves  # QRS and T of a ventricular beat
    polarity: float  # −1 for reversed electrodes
    sinus_rr_seconds: float
    sinus_variability: float  # standard deviation of RR over its mean
    af_rr_seconds: float
    af_irregularity: float
    fibrillation_hz: float
    fibrillation_amplitude: float
    ectopy: float  # share of segments with stray premature beats
    noise: float  # scale of all noise


def _waves(*rows: tuple[float, float, float, float]) -> Waves:
    amplitude, centre, rise, fall = np.array(rows, dtype=np.float64).T
    return Waves(amplitude=amplitude, centre=centre, rise=rise, fall=fall)


def between(rng: Rng, low: float, high: float) -> float:
    """Draw a number from a range, all values equally likely."""
    return float(rng.uniform(low, high))


def about(rng: Rng, median: float, spread: float) -> float:
    """Draw a positive number: log-normal about ``median``, ``spread`` its standard deviation in log."""
    return float(median * np.exp(spread * rng.standard_normal()))


def _atrial(rng: Rng) -> Waves:
    height = min(about(rng, 0.08, 0.55), 0.3)
    pr = between(rng, 0.13, 0.22)
    width = between(rng, 0.016, 0.028)
    notch = between(rng, 0.02, 0.045)  # left atrium after right
    second = between(rng, -0.3, 1.0)  # a biphasic P wave turns negative
    return _waves(
        (height, -pr, width, width),
        (height * second, -pr + notch, width, width),
    )


def _narrow(rng: Rng) -> Waves:
    width = about(rng, 0.0105, 0.25)
    if rng.random() < 0.12:  # bundle branch block
        width *= between(rng, 1.6, 2.4)
    deep_s = rng.random() < 0.25
    s_height = -between(rng, 0.5, 1.3) if deep_s else -between(rng, 0.0, 0.4)
    s_width = width * between(rng, 0.9, 1.8)
    t_height = between(rng, 0.05, 0.55) * (-0.5 if rng.random() < 0.15 else 1.0)
    t_centre = between(rng, 0.24, 0.34)
    return _waves(
        (-between(rng, 0.0, 0.25), -2.4 * width, width * 0.8, width * 0.7),
        (1.0, 0.0, width, width),
        (s_height, 2.2 * width + 0.008, s_width, s_width * 1.3),
        (between(rng, -0.12, 0.1), 0.12, 0.03, 0.05),  # ST segment
        (t_height, t_centre, between(rng, 0.05, 0.09), between(rng, 0.03, 0.05)),
    )


def _wide(rng: Rng) -> Waves:
    sign = -1.0 if rng.random() < 0.4 else 1.0
    height = sign * between(rng, 0.7, 1.6)
    width = between(rng, 0.025, 0.05)
    return _waves(
        (height, 0.02, width, width),
        (-height * between(rng, 0.0, 0.6), 0.03 + 2.2 * width, width, width * 1.3),
        (-height * between(rng, 0.25, 0.6), between(rng, 0.28, 0.36), 0.08, 0.06),
    )


def draw_heart(rng: Rng) -> Heart:
    """Draw one subject."""
    return Heart(
        atrial=_atrial(rng),
        narrow=_narrow(rng),
        wide=_wide(rng),
        polarity=-1.0 if rng.random() < 0.05 else 1.0,
        sinus_rr_seconds=float(np.clip(about(rng, 0.84, 0.17), 0.55, 1.0)),
        sinus_variability=float(np.clip(about(rng, 0.018, 0.6), 0.004, 0.06)),
        af_rr_seconds=float(np.clip(about(rng, 0.67, 0.22), 0.42, 1.1)),
        af_irregularity=between(rng, 0.13, 0.27),
        fibrillation_hz=between(rng, 4.5, 8.0),
        fibrillation_amplitude=float(np.clip(about(rng, 0.035, 0.6), 0.01, 0.2)),
        ectopy=between(rng, 0.0, 0.35),
        noise=about(rng, 0.6, 0.4),
    )


def change_posture(rng: Rng, heart: Heart) -> Heart:
    """The same subject at another hour, since the heights of all waves change over time."""

    def seen(waves: Waves) -> Waves:
        change = np.exp(POSTURE * rng.standard_normal(len(waves.amplitude)))
        return replace(waves, amplitude=waves.amplitude * change)

    return replace(heart, atrial=seen(heart.atrial), narrow=seen(heart.narrow), wide=seen(heart.wide))
