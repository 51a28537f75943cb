"""From beats to samples: waves, fibrillation, noise and the recorder's filter."""

import numpy as np

from atml.ecg.segment import SAMPLING_RATE_HZ
from atml.ecg.synthesis.heart import Floats, Heart, Rng, about, between
from atml.ecg.synthesis.rhythms import EARLY, MARGIN_SECONDS, SINUS, VENTRICULAR, Beats

PASS_BAND_HZ = (0.5, 50.0)


def clock(length: int) -> Floats:
    """Sample times in seconds, margins included; the segment itself starts at 0."""
    margin = int(MARGIN_SECONDS * SAMPLING_RATE_HZ)
    return (np.arange(length + 2 * margin) - margin) / SAMPLING_RATE_HZ


def record(rng: Rng, heart: Heart, beats: Beats, times: Floats, *, fibrillating: bool) -> Floats:
    """One segment as recorded by the electrodes, ``[len(times)]``, before the filter."""
    signal = _heartbeats(rng, heart, beats, times)
    if fibrillating:
        signal = signal + _fibrillatory_waves(rng, heart, times)
    return np.asarray(heart.polarity * signal + _noise(rng, heart, times), dtype=np.float64)


def _heartbeats(rng: Rng, heart: Heart, beats: Beats, times: Floats) -> Floats:
    """Sum the Gaussians of all beats. Rows below: amplitude, centre, rise, fall."""
    rr = np.diff(beats.times, prepend=beats.times[0] - np.median(np.diff(beats.times)))
    # Breathing moves the heart's axis; the rest varies from beat to beat.
    breathing = between(rng, 0.0, 0.1) * np.sin(
        2 * np.pi * between(rng, 0.15, 0.35) * beats.times + rng.uniform(0, 2 * np.pi)
    )
    height = 1 + breathing + 0.03 * rng.standard_normal(len(rr))
    gaussians = []
    for kind, time, interval, scale in zip(beats.kinds, beats.times, rr, height, strict=True):
        if not times[0] - 0.6 < time < times[-1] + 0.4:
            continue
        ventricle = heart.wide if kind == VENTRICULAR else heart.narrow
        # Repolarisation comes earlier after a short interval (Bazett), the QRS does not.
        stretch = np.where(ventricle.centre > 0.1, np.sqrt(np.clip(interval / 0.85, 0.45, 1.4)), 1.0)
        gaussians.append(
            np.array(
                [
                    ventricle.amplitude * scale,
                    time + ventricle.centre * stretch,
                    ventricle.rise * stretch,
                    ventricle.fall * stretch,
                ]
            )
        )
        if kind in (SINUS, EARLY):
            atrial = heart.atrial
            # An early beat starts elsewhere in the atria and has another P wave.
            shape = between(rng, -0.5, 1.2) if kind == EARLY else 1 + 0.08 * rng.standard_normal()
            gaussians.append(
                np.array([atrial.amplitude * shape, time + atrial.centre, atrial.rise, atrial.fall])
            )
    amplitude, centre, rise, fall = np.concatenate(gaussians, axis=1).astype(np.float32)[:, :, None]
    offset = times.astype(np.float32) - centre
    offset /= np.where(offset < 0, rise, fall)
    return np.asarray((amplitude * np.exp(-0.5 * offset**2)).sum(axis=0), dtype=np.float64)


def _fibrillatory_waves(rng: Rng, heart: Heart, times: Floats) -> Floats:
    """A sawtooth of three harmonics whose pitch and strength drift (Stridh and Sörnmo 2001)."""
    pitch = np.clip(heart.fibrillation_hz * about(rng, 1.0, 0.08), 4.0, 9.0)
    drift = between(rng, 0.05, 0.25) / 0.3 * np.sin(2 * np.pi * 0.3 * times + rng.uniform(0, 6.3))
    jitter = np.cumsum(rng.standard_normal(len(times))) * 0.03  # the circuits never repeat
    phase = 2 * np.pi * (pitch * times + drift) + jitter
    swell = 1 + between(rng, 0.1, 0.6) * np.sin(
        2 * np.pi * between(rng, 0.1, 0.6) * times + rng.uniform(0, 2 * np.pi)
    )
    harmonics = sum(np.sin(k * phase) / k for k in (1, 2, 3))
    strength = heart.fibrillation_amplitude * about(rng, 1.0, 0.25)
    return np.asarray(strength * swell * harmonics, dtype=np.float64)


def _coloured(rng: Rng, count: int, low_hz: float, high_hz: float, slope: float) -> Floats:
    """Noise of unit variance whose amplitude falls as frequency to the power of ``slope``."""
    frequency = np.fft.rfftfreq(count, 1 / SAMPLING_RATE_HZ)
    gain = np.zeros_like(frequency)
    band = (frequency >= low_hz) & (frequency <= high_hz)
    gain[band] = frequency[band] ** -slope
    noise = np.fft.irfft(gain * np.fft.rfft(rng.standard_normal(count)), n=count)
    return np.asarray(noise / noise.std(), dtype=np.float64)


def _noise(rng: Rng, heart: Heart, times: Floats) -> Floats:
    """Baseline wander, electrode motion, muscle and mains, each with its own strength."""
    count = len(times)
    wander = _coloured(rng, count, 0.1, 1.0, 1.0) * about(rng, 0.05, 0.7)
    motion = _coloured(rng, count, 0.5, 12.0, 0.7) * about(rng, 0.018, 0.7)
    muscle = _coloured(rng, count, 8.0, 60.0, 0.3) * about(rng, 0.014, 0.6)
    if rng.random() < 0.15:  # the patient moves for a second or two
        middle, width = rng.uniform(times[0], times[-1]), between(rng, 0.2, 0.8)
        burst = np.exp(-0.5 * ((times - middle) / width) ** 2)
        muscle *= 1 + between(rng, 2.0, 8.0) * burst
        motion *= 1 + between(rng, 1.0, 6.0) * burst
    mains_hz = 50.0 if rng.random() < 0.5 else 60.0
    mains = about(rng, 0.006, 0.8) * np.sin(2 * np.pi * mains_hz * times + rng.uniform(0, 6.3))
    return np.asarray(heart.noise * (wander + motion + muscle) + mains, dtype=np.float64)


def band_pass(signals: Floats) -> Floats:
    """Keep 0.5–50 Hz of ``[..., samples]``, with soft edges to avoid ringing."""
    count = signals.shape[-1]
    frequency = np.fft.rfftfreq(count, 1 / SAMPLING_RATE_HZ)
    low, high = PASS_BAND_HZ
    gain = np.clip((frequency - 0.5 * low) / (0.5 * low), 0, 1) * np.clip(
        (high - frequency) / (0.1 * high), 0, 1
    )
    spectrum = np.fft.rfft(signals, axis=-1) * np.sin(0.5 * np.pi * gain) ** 2
    return np.asarray(np.fft.irfft(spectrum, n=count, axis=-1), dtype=np.float64)


def normalise(rng: Rng, signals: Floats) -> Floats:
    """Scale to mean 0 and a peak-to-peak range of about 2, like the IESD segments."""
    centred = signals - signals.mean(axis=-1, keepdims=True)
    wanted = rng.uniform(1.75, 2.0, size=(len(centred), 1))
    return np.asarray(centred * wanted / np.ptp(centred, axis=-1, keepdims=True), dtype=np.float64)
