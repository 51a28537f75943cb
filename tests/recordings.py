"""Real recordings, written by the libraries that others read them with."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Changes = Sequence[tuple[float, str]]


def sine(rate_hz: float, seconds: float, hz: float = 10.0) -> NDArray[np.float64]:
    """1 mV at `hz`, on an offset as ADCs have."""
    return 0.3 + np.sin(2 * np.pi * hz * np.arange(round(rate_hz * seconds)) / rate_hz)


def write_wfdb(
    folder: Path,
    name: str,
    *,
    signal: NDArray[np.float64] | None = None,
    rate_hz: float = 250.0,
    rhythms: Changes = ((0.0, "(N"), (18.3, "(AFIB")),
    leads: Sequence[str] = ("II",),
    unit: str = "mV",
    comments: Sequence[str] = (),
    annotations_hz: float | None = None,
) -> None:
    """Write NAME.hea, NAME.dat and, if there are rhythms, NAME.atr with beats and rhythms.

    Annotations have the time resolution of the record unless `annotations_hz` is given.
    """
    folder.mkdir(parents=True, exist_ok=True)
    signal = sine(rate_hz, 40.5) if signal is None else signal
    columns = np.stack([signal * (index + 1) for index in range(len(leads))], axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # wfdb's own use of pandas
        import wfdb

        wfdb.wrsamp(
            name,
            fs=rate_hz,
            units=[unit] * len(leads),
            sig_name=list(leads),
            p_signal=columns,
            fmt=["16"] * len(leads),
            comments=list(comments),
            write_dir=str(folder),
        )
        if rhythms:
            ticks_hz = annotations_hz or rate_hz
            samples = np.array([round(seconds * ticks_hz) for seconds, _ in rhythms])
            beats = np.array([samples[-1] + round(ticks_hz), samples[-1] + round(2 * ticks_hz)])
            wfdb.wrann(
                name,
                "atr",
                np.concatenate([samples, beats]),
                symbol=["+"] * len(rhythms) + ["N", "N"],
                aux_note=[rhythm for _, rhythm in rhythms] + ["", ""],
                fs=annotations_hz,
                write_dir=str(folder),
            )


def write_frames(folder: Path, name: str, *, rate_hz: float, leads: dict[str, NDArray[np.float64]]) -> None:
    """Write NAME.hea and NAME.dat: leads of different lengths have several samples in each frame."""
    frames = min(map(len, leads.values()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # wfdb's own use of pandas
        import wfdb

        wfdb.wrsamp(
            name,
            fs=rate_hz,
            units=["mV"] * len(leads),
            sig_name=list(leads),
            e_p_signal=list(leads.values()),
            samps_per_frame=[len(signal) // frames for signal in leads.values()],
            fmt=["16"] * len(leads),
            write_dir=str(folder),
        )


def write_edf(
    path: Path,
    *,
    signals: dict[str, NDArray[np.float64]],
    rate_hz: int = 200,
    unit: str = "uV",
    annotations: Sequence[tuple[float, float, str]] = (),
    patient: str = "",
) -> None:
    """Write an EDF+ file; a duration of -1 is none."""
    import pyedflib

    with pyedflib.EdfWriter(str(path), len(signals), file_type=pyedflib.FILETYPE_EDFPLUS) as writer:
        writer.setSignalHeaders(
            [
                {
                    "label": name,
                    "dimension": unit,
                    "sample_frequency": rate_hz,
                    "physical_min": -5000,
                    "physical_max": 5000,
                    "digital_min": -32768,
                    "digital_max": 32767,
                    "transducer": "",
                    "prefilter": "",
                }
                for name in signals
            ]
        )
        writer.setPatientCode(patient)
        writer.writeSamples(list(signals.values()))
        for onset, duration, text in annotations:
            writer.writeAnnotation(onset, duration, text)
