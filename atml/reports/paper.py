"""A trace on ECG paper, 25 mm/s and 10 mm/mV, as SVG in a page with the styles of a report."""

import math

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from atml.ecg import SAMPLING_RATE_HZ

MM_PER_SECOND, MM_PER_MV = 25, 10
HEIGHT_MM, PULSE_MM = 40, 10  # of a strip, and the room for its calibration pulse
_MARGIN_MM = 2.0  # between the trace and the edges
_STEPS = 20  # of the coordinates, per millimetre


def strip(samples: NDArray[np.float32], label: str) -> Markup:
    """Return a trace [n] with a calibration pulse of 1 mV, in true size when printed.

    A trace that does not fit 40 mm, or would be flat, is drawn at another gain, which is written on it. The
    lines of the paper are a pattern of the page, `paper.html`.
    """
    gain = gain_for(samples)
    width = PULSE_MM + len(samples) * MM_PER_SECOND / SAMPLING_RATE_HZ
    middle = (float(samples.max()) + float(samples.min())) / 2
    right = PULSE_MM + np.arange(len(samples)) * (MM_PER_SECOND / SAMPLING_RATE_HZ)
    down = HEIGHT_MM / 2 + (middle - samples.astype(np.float64)) * gain
    x, y = (np.rint(_STEPS * place).astype(int) for place in (right, down))
    moves = " ".join(f"{a} {b}" for a, b in zip(np.diff(x).tolist(), np.diff(y).tolist(), strict=True))
    return Markup(
        '<svg class="ecg" role="img" aria-label="{label}" '
        'width="{width:g}mm" viewBox="0 0 {width:g} {height}">'
        '<rect width="100%" height="100%" fill="url(#paper)"/>'
        '<path class="trace" stroke-width=".3" d="{pulse}"/>'
        '<path class="trace" stroke-width="{stroke:g}" transform="scale({scale})" d="{trace}"/>'
        '<text x="{width:g}" y="{height}" dx="-1" dy="-1">{speed} mm/s, {gain:g} mm/mV</text></svg>'
    ).format(
        label=label,
        width=width,
        height=HEIGHT_MM,
        pulse=_pulse(gain),
        stroke=0.3 * _STEPS,
        scale=1 / _STEPS,
        trace=f"M{x[0]} {y[0]}l{moves}",
        speed=MM_PER_SECOND,
        gain=gain,
    )


def gain_for(samples: NDArray[np.float32]) -> float:
    """Return the millimetres per mV: 10, or the power of two of it at which a trace fits and is seen."""
    height, room = float(np.ptp(samples)) * MM_PER_MV, HEIGHT_MM - 2 * _MARGIN_MM
    if height == 0 or 1 <= height <= room:
        return MM_PER_MV
    return float(MM_PER_MV * 2.0 ** math.floor(math.log2(room / height)))


def _pulse(gain: float) -> str:
    """Return 1 mV for 0.2 s, as a recorder writes it before a trace; nothing if it would not fit."""
    if gain > HEIGHT_MM / 2:
        return ""
    low = HEIGHT_MM / 2 + gain / 2
    return f"M1 {low:g}H2.5V{low - gain:g}H7.5V{low:g}H9"
