"""Simulated segments, written as an IESD directory.

They are not recordings of people. They let the first command run anywhere and tests run in seconds.
The same seed gives the same files, and subject *n* does not depend on the number of subjects.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from atml.ecg.segment import AFIB_RHYTHM, SAMPLING_RATE_HZ, SegmentName
from atml.ecg.synthesis.heart import Heart, Rng, change_posture, draw_heart
from atml.ecg.synthesis.recording import band_pass, clock, normalise, record
from atml.ecg.synthesis.rhythms import MARGIN_SECONDS, RHYTHMS
from atml.errors import DataError
from atml.files import whole_directory

# Some subjects have both classes, some always fibrillate and some never do. Most have both, so that a
# network cannot infer the class from the subject, and ranks real segments better (AUC +.03 compared with
# a quarter always and a quarter never).
_MIXED, _ALWAYS, _NEVER = 0.45, 1.0, 0.0
_AFIB_SHARES = (_MIXED, _ALWAYS, _MIXED, _NEVER, _MIXED, _MIXED, _MIXED, _MIXED)

# Rare rhythms are drawn more often than in the real set, where 32 of 50,000 segments are SVTA.
_OTHER_RHYTHMS = {"N": 0.78, "SBR": 0.06, "AB": 0.05, "": 0.03, "T": 0.03, "SVTA": 0.03, "B": 0.02}


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """Simulated segments."""

    directory: Path  #: Where they were written.
    subjects: int  #: Number of subjects.
    segments: int  #: Number of segments.
    rhythms: dict[str, int]  #: Number of segments by rhythm.


def simulate(
    directory: str | Path,
    *,
    subjects: int = 24,
    segments_per_subject: int = 100,
    seed: int = 0,
    segment_length: int = 1250,
    first_subject: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Simulation:
    """Write simulated segments into a new or empty directory.

    The directory is written completely or not at all: files are written next to it and renamed at the
    end. Use another ``first_subject`` to make a test set with different subjects.

    Args:
        directory: Where to write.
        subjects: Number of subjects.
        segments_per_subject: Number of segments of each.
        seed: The same seed gives the same files.
        segment_length: Samples in a segment, at 250 Hz.
        first_subject: Number of the first subject.
        progress: Called with (segments written, segments in total).

    Raises:
        DataError: the directory is not empty, or an argument is out of range.
        CannotWrite: the directory cannot be written.
    """
    directory = Path(directory)
    for what, value, least in (
        ("subjects", subjects, 1),
        ("segments per subject", segments_per_subject, 1),
        ("segment length", segment_length, 2),
        ("seed", seed, 0),
        ("first subject", first_subject, 0),
    ):
        if value < least:
            raise DataError(f"{what} must be at least {least} but got {value}.")

    counts = dict.fromkeys(RHYTHMS, 0)
    with whole_directory(directory) as unfinished:
        for done in range(subjects):
            number = first_subject + done
            drawn = draw_subject(number, segments_per_subject, segment_length, seed)
            for rhythm, samples in drawn.items():
                counts[rhythm] += len(samples)
                for index, row in enumerate(samples):
                    name = SegmentName(number=str(number), rhythm=rhythm, index=str(index))
                    (unfinished / name.filename).write_text(
                        ("%.7f\n" * len(row)) % tuple(row.tolist()), encoding="ascii"
                    )
            progress((done + 1) * segments_per_subject, subjects * segments_per_subject)
        (unfinished / "README.md").write_text(_notice(subjects, seed), encoding="utf-8")
    return Simulation(
        directory=directory,
        subjects=subjects,
        segments=subjects * segments_per_subject,
        rhythms={rhythm: count for rhythm, count in counts.items() if count},
    )


def draw_subject(number: int, segments: int, length: int, seed: int) -> dict[str, NDArray[np.float64]]:
    """All segments of one simulated subject: rhythm → ``[segments of it, length]``."""
    rng = np.random.default_rng([seed, number])
    heart = draw_heart(rng)
    chosen = _choose_rhythms(rng, segments, _AFIB_SHARES[number % len(_AFIB_SHARES)])
    times = clock(length)
    raw = np.stack([_draw_segment(rng, heart, rhythm, times, length) for rhythm in chosen])
    margin = int(MARGIN_SECONDS * SAMPLING_RATE_HZ)
    samples = normalise(rng, band_pass(raw)[:, margin : margin + length])
    names = np.array(chosen)
    return {rhythm: samples[names == rhythm] for rhythm in dict.fromkeys(chosen)}


def _choose_rhythms(rng: Rng, segments: int, afib_share: float) -> list[str]:
    afib = round(afib_share * segments)
    shares = list(_OTHER_RHYTHMS.values())
    others = rng.choice(list(_OTHER_RHYTHMS), size=segments - afib, p=shares)
    return [AFIB_RHYTHM] * afib + [str(rhythm) for rhythm in others]


def _draw_segment(
    rng: Rng, heart: Heart, rhythm: str, times: NDArray[np.float64], length: int
) -> NDArray[np.float64]:
    beats = RHYTHMS[rhythm](rng, heart, length / SAMPLING_RATE_HZ)
    return record(rng, change_posture(rng, heart), beats, times, fibrillating=rhythm == AFIB_RHYTHM)


def _notice(subjects: int, seed: int) -> str:
    return (
        "# Simulated ECG segments\n\n"
        f"Not recordings of people: made by `atml data simulate` with seed {seed}, {subjects} subjects.\n"
        "For trying ATML; never report figures measured on them as results for real patients.\n"
    )
