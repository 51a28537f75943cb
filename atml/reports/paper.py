"""ECG paper, 25 mm/s and 10 mm/mV, and a trace on it as SVG, with a line for each millimetre."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from atml.ecg import SAMPLING_RATE_HZ

MM_PER_SECOND, MM_PER_MV = 25, 10
HEIGHT_MM, PULSE_MM = 40, 10  # of a strip, and the room for its calibration pulse
_MARGIN_MM = 2.0  # between the trace and the edges

PAPER_STYLE = """
:root{color-scheme:light}
body{margin:0;background:#f4f4f2;color:#202020;font:15px/1.5 system-ui,sans-serif}
main{max-width:150mm;margin:0 auto;padding:24px 20px 48px;background:#fff;min-height:100vh}
h1{font-size:24px;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:17px;margin:32px 0 8px;border-bottom:1px solid #ddd;padding-bottom:4px}
p{margin:0 0 16px}
dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 16px;margin:0 0 16px;font-size:14px}
dt{color:#666}
dd{margin:0;overflow-wrap:anywhere}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:3px 14px 3px 0;text-align:right;border-bottom:1px solid #e4e4e4}
th{font-weight:600;color:#555}
th:nth-child(-n+2),td:nth-child(-n+2){text-align:left}
figure{margin:0 0 14px;break-inside:avoid;overflow-x:auto}
figcaption{font-size:13px;color:#555;overflow-wrap:anywhere}
svg{display:block;max-width:100%;height:auto}
@media (max-width:480px){main{padding:16px 12px 32px}table{font-size:13px}th,td{padding-right:8px}}
@media print{body{background:#fff}main{padding:0;max-width:none}}
"""


def strip(samples: NDArray[np.float32]) -> str:
    """Return a trace with a calibration pulse of 1 mV, in true size when printed.

    A trace that does not fit 40 mm, or would be flat, is drawn at another gain, which is written on it.
    """
    gain = gain_for([samples], HEIGHT_MM - 2 * _MARGIN_MM)
    width = PULSE_MM + len(samples) * MM_PER_SECOND / SAMPLING_RATE_HZ
    x, y = millimetres(samples, gain)
    places = zip((PULSE_MM + x).tolist(), (HEIGHT_MM / 2 + y).tolist(), strict=True)
    points = " ".join(f"{a:.2f},{b:.2f}" for a, b in places)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}mm" height="{HEIGHT_MM}mm" '
        f'viewBox="0 0 {width:g} {HEIGHT_MM}" role="img" aria-label="ECG trace">'
        f'<rect width="{width:g}" height="{HEIGHT_MM}" fill="#fffafa"/>'
        f'<path d="{_lines(width, 1)}" stroke="#f6d9d9" stroke-width=".1" fill="none"/>'
        f'<path d="{_lines(width, 5)}" stroke="#eab0b0" stroke-width=".2" fill="none"/>'
        f'<path d="{_pulse(gain)}" stroke="#202020" stroke-width=".3" fill="none"/>'
        f'<polyline points="{points}" stroke="#202020" stroke-width=".3" fill="none" '
        'stroke-linejoin="round"/>'
        f'<text x="{width - 1:g}" y="{HEIGHT_MM - 1}" font-size="2.6" text-anchor="end" fill="#555" '
        f'font-family="sans-serif">{MM_PER_SECOND} mm/s, {gain:g} mm/mV</text></svg>'
    )


def gain_for(traces: Sequence[NDArray[np.float32]], room_mm: float) -> float:
    """Return the millimetres per mV: 10, or the power of two of it at which all traces fit and are seen."""
    height = max((float(np.ptp(samples)) for samples in traces), default=0.0) * MM_PER_MV
    if height == 0 or 1 <= height <= room_mm:
        return MM_PER_MV
    return float(MM_PER_MV * 2.0 ** math.floor(math.log2(room_mm / height)))


def millimetres(samples: NDArray[np.float32], gain: float) -> NDArray[np.float64]:
    """Return where the samples [n] are drawn, [2, n]: mm from the left, and mm below the middle."""
    middle = (float(samples.max()) + float(samples.min())) / 2
    right = np.arange(len(samples)) * (MM_PER_SECOND / SAMPLING_RATE_HZ)
    return np.stack([right, (middle - samples.astype(np.float64)) * gain])


def _lines(width: float, step: int) -> str:
    vertical = "".join(f"M{x} 0V{HEIGHT_MM}" for x in range(0, math.ceil(width) + 1, step))
    return vertical + "".join(f"M0 {y}H{width:g}" for y in range(0, HEIGHT_MM + 1, step))


def _pulse(gain: float) -> str:
    """Return 1 mV for 0.2 s, as a recorder writes it before a trace; nothing if it would not fit."""
    if gain > HEIGHT_MM / 2:
        return ""
    low = HEIGHT_MM / 2 + gain / 2
    return f"M1 {low:g}H2.5V{low - gain:g}H7.5V{low:g}H9"
