"""What a wearable does to a signal, as a fixed list of named disturbances.

A disturbance is a function of segments [n, L] float32, in any unit and at 250 Hz, and of a random
generator; it returns new segments [n, L] float32. A signal-to-noise ratio is the variance of the
segment about its mean, divided by that of the noise, and is exact in every segment. (PhysioNet's `nst`
relates noise to the height of the beats, so its decibels are not these: it would say about 8 dB more.)

Sources: Moody, Muldrow & Mark, "A noise stress test for arrhythmia detectors", Computers in Cardiology
11, 1984; Friesen et al., "A comparison of the noise sensitivity of nine QRS detection algorithms", IEEE
Transactions on Biomedical Engineering 37, 1990.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from atml.ecg import SAMPLING_RATE_HZ

Samples = NDArray[np.float32]

MUSCLE_HZ = (20.0, 45.0)
BURSTS = 2
STEPS = 3
RISE_SECONDS = 0.05
RECOVERY_SECONDS = (0.3, 3.0)
WANDER_HZ = (0.1, 0.5)
WANDER_WAVES = 3
HUM_HZ = 50.0
CLIPPED_AT = 0.6
DROPPED_SHARE = 0.05
GAPS = 5
SPIKE_SAMPLES = 4
SPIKE_HEIGHT = 10.0


@dataclass(frozen=True, kw_only=True)
class Disturbance:
    """A named change of segments."""

    name: str
    apply: Callable[[Samples, Generator], Samples]  # segments [n, L] → [n, L]
    severe: bool = False  # may bury the beats, so that no detector is expected to do well


def peak(samples: Samples) -> Samples:
    """Return the largest distance from the mean [n, 1] in each of the segments [n, L]."""
    largest: Samples = np.abs(samples - samples.mean(axis=1, keepdims=True)).max(axis=1, keepdims=True)
    return largest


def _gain(samples: Samples, _: Generator, *, factor: float) -> Samples:
    """Multiply all samples: another amplifier, another unit, or a weak contact."""
    return samples * np.float32(factor)


def _reversed_electrode(samples: Samples, _: Generator) -> Samples:
    """Change the sign: the two electrodes are swapped, or the device is worn upside down."""
    return -samples


def _white_noise(samples: Samples, random: Generator, *, decibels: float) -> Samples:
    """Add normal numbers, independent of each other: the noise of amplifier and converter."""
    return _with_noise(samples, _normal(samples.shape, random), decibels)


def _muscle_noise(samples: Samples, random: Generator, *, decibels: float) -> Samples:
    """Add noise of 20 to 45 Hz in two bursts of about half a second: muscles (Moody's record "ma").

    Muscles emit higher frequencies too; 45 Hz is what the low-pass filter of a wearable leaves.
    """
    length = samples.shape[1]
    hz = np.fft.rfftfreq(length, 1 / SAMPLING_RATE_HZ)
    band = (hz >= MUSCLE_HZ[0]) & (hz <= MUSCLE_HZ[1])
    noise = np.fft.irfft(np.fft.rfft(_normal(samples.shape, random)) * band, length)
    strength = np.full(samples.shape, 0.1, np.float32)  # muscles are never quite at rest
    for _ in range(BURSTS):
        centre = _uniform(samples, random, 0, length / SAMPLING_RATE_HZ)
        width = _uniform(samples, random, 0.15, 0.3)
        strength += np.exp(-(((_seconds(samples) - centre) / width) ** 2) / 2)
    return _with_noise(samples, noise * strength, decibels)


def _electrode_motion(samples: Samples, random: Generator, *, decibels: float) -> Samples:
    """Add three steps that decay in 0.3 to 3 s: electrodes that move (Moody's "em", Friesen's shift).

    A step takes about 50 ms. It is slow beside a beat but as large, and no filter removes it.
    """
    noise = np.zeros(samples.shape, np.float32)
    for _ in range(STEPS):
        # Not in the last fifth: all the noise would be one jump at the end.
        onset = _uniform(samples, random, 0, 0.8 * samples.shape[1] / SAMPLING_RATE_HZ)
        recovery = _uniform(samples, random, *RECOVERY_SECONDS)
        since = np.maximum(_seconds(samples) - onset, 0)
        size = _normal((len(samples), 1), random)
        noise += size * (np.exp(-since / recovery) - np.exp(-since / np.float32(RISE_SECONDS)))
    return _with_noise(samples, noise, decibels)


def _baseline_wander(samples: Samples, random: Generator, *, decibels: float) -> Samples:
    """Add three sine waves of 0.1 to 0.5 Hz: breathing and slow movement (Moody's "bw", Friesen's drift)."""
    noise = np.zeros(samples.shape, np.float32)
    for _ in range(WANDER_WAVES):
        turns = _uniform(samples, random, *WANDER_HZ) * _seconds(samples) + _uniform(samples, random, 0, 1)
        noise += np.sin(np.float32(2 * np.pi) * turns)
    return _with_noise(samples, noise, decibels)


def _mains_hum(samples: Samples, random: Generator, *, decibels: float) -> Samples:
    """Add a sine wave of 50 Hz with a random phase: the mains (Friesen's interference, there 60 Hz)."""
    turns = np.float32(HUM_HZ) * _seconds(samples) + _uniform(samples, random, 0, 1)
    return _with_noise(samples, np.sin(np.float32(2 * np.pi) * turns), decibels)


def _clipped(samples: Samples, _: Generator) -> Samples:
    """Limit the distance from the mean to 60 % of its largest: an amplifier at the end of its range."""
    middle, limit = samples.mean(axis=1, keepdims=True), np.float32(CLIPPED_AT) * peak(samples)
    return np.clip(samples, middle - limit, middle + limit)


def _dropped(samples: Samples, random: Generator) -> Samples:
    """Hold the last value through five gaps, 5 % of the samples in all: packets lost by radio."""
    length = samples.shape[1]
    slot, gap = length // GAPS, max(1, round(DROPPED_SHARE * length / GAPS))
    index = np.broadcast_to(np.arange(length), samples.shape)
    lost = np.zeros(samples.shape, np.bool_)
    for first in range(0, GAPS * slot, slot):  # one gap in each slot, so that none meets another
        start = first + random.integers(1, max(2, slot - gap + 1), (len(samples), 1))
        lost |= (index >= start) & (index < start + gap)
    held = np.maximum.accumulate(np.where(lost, 0, index), axis=1)
    return np.take_along_axis(samples, held, axis=1)


def _sampled_at(samples: Samples, _: Generator, *, up: int, down: int) -> Samples:
    """Sample at up / down of 250 Hz, then cut or mirror to L, as by an inexact clock or another device."""
    # Late: importing scipy.signal takes longer than most evaluations.
    from scipy.signal import resample_poly

    length = samples.shape[1]
    resampled = resample_poly(samples, up, down, axis=1, padtype="line")[:, :length]
    missing = length - resampled.shape[1]
    return np.pad(resampled, ((0, 0), (0, missing)), mode="reflect").astype(np.float32)


def _spike(samples: Samples, random: Generator) -> Samples:
    """Add ten times the peak, up or down, to 4 samples in a row: a touched electrode, a pacemaker."""
    shape = (len(samples), 1)
    index = np.arange(samples.shape[1])
    start = random.integers(0, samples.shape[1] - SPIKE_SAMPLES + 1, shape)
    height = SPIKE_HEIGHT * random.choice((-1, 1), shape)
    struck = (index >= start) & (index < start + SPIKE_SAMPLES)
    return samples + peak(samples) * (height * struck).astype(np.float32)


def _with_noise(samples: Samples, noise: NDArray[np.floating[Any]], decibels: float) -> Samples:
    """Add noise [n, L], scaled in each segment to the signal-to-noise ratio; a flat line gets none."""
    noise = noise - noise.mean(axis=1, keepdims=True)
    # In double precision: a large constant would swallow the variance.
    wanted = samples.var(axis=1, keepdims=True, dtype=np.float64) / 10 ** (decibels / 10)
    power = noise.var(axis=1, keepdims=True, dtype=np.float64)
    scale = np.sqrt(np.divide(wanted, power, out=np.zeros_like(wanted), where=power > 0))
    scaled: Samples = (noise * scale).astype(np.float32)
    return samples + scaled


def _seconds(samples: Samples) -> Samples:
    """Return the times [L] of the samples."""
    return np.arange(samples.shape[1], dtype=np.float32) / np.float32(SAMPLING_RATE_HZ)


def _normal(shape: tuple[int, ...], random: Generator) -> Samples:
    return random.standard_normal(shape, dtype=np.float32)


def _uniform(samples: Samples, random: Generator, low: float, high: float) -> Samples:
    """Return one number [n, 1] from `low` to `high` for each segment."""
    return random.uniform(low, high, (len(samples), 1)).astype(np.float32)


# Only noise as strong as the signal, and in the band of the beats, is severe: wander at 0 dB leaves
# them as they are.
DISTURBANCES = (
    *(Disturbance(name=f"gain_x{one:g}", apply=partial(_gain, factor=one)) for one in (0.25, 0.5, 2.0, 4.0)),
    Disturbance(name="reversed_electrode", apply=_reversed_electrode),
    Disturbance(name="white_noise_12db", apply=partial(_white_noise, decibels=12.0)),
    Disturbance(name="white_noise_6db", apply=partial(_white_noise, decibels=6.0)),
    Disturbance(name="white_noise_0db", apply=partial(_white_noise, decibels=0.0), severe=True),
    Disturbance(name="muscle_noise_6db", apply=partial(_muscle_noise, decibels=6.0)),
    Disturbance(name="electrode_motion_6db", apply=partial(_electrode_motion, decibels=6.0)),
    Disturbance(name="electrode_motion_0db", apply=partial(_electrode_motion, decibels=0.0), severe=True),
    Disturbance(name="baseline_wander_0db", apply=partial(_baseline_wander, decibels=0.0)),
    Disturbance(name="mains_hum_6db", apply=partial(_mains_hum, decibels=6.0)),
    Disturbance(name="clipped", apply=_clipped),
    Disturbance(name="dropped_samples", apply=_dropped),
    Disturbance(name="sampled_5_percent_fast", apply=partial(_sampled_at, up=21, down=20)),
    Disturbance(name="sampled_5_percent_slow", apply=partial(_sampled_at, up=19, down=20)),
    Disturbance(name="spike", apply=_spike),
)
