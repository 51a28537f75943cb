"""Predictions as WFDB annotation files, which other programs show beside the signal."""

import re
import warnings
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from atml.ecg.sources.recording import load_reader
from atml.errors import DataError
from atml.files import make_folder, temporary_folder, write_whole
from atml.reports.predicting import RecordingPrediction

ENDING = "ecm"  # not atr, which is that of reference annotations


def write_annotations(
    prediction: RecordingPrediction, folder: Path, *, keep: Collection[Path] = ()
) -> Path | None:
    """Write RECORD.ecm into a folder: rhythm changes `(AFIB` and `(N`, and `~` where there is no answer.

    `(AFIB` marks the episodes; all other answered time is `(N`. Characters of the record's name that WFDB
    does not allow become `_`, or their Unicode numbers if they are not ASCII. Positions are samples of the
    recording, at its own rate.

    Args:
        prediction: What was predicted.
        folder: Where to write; it is created.
        keep: Files that must not be replaced: those of other recordings.

    Returns:
        The file, or `None` if the recording is empty.

    Raises:
        DataError: the package wfdb is missing, or the file is one to keep.
        CannotWrite: the file cannot be written.
    """
    wfdb = load_reader("wfdb", "WFDB annotations")
    changes = list(_changes(prediction))
    if not changes:
        return None
    make_folder(folder)
    name = re.sub(r"[^\x00-\x7f]", lambda found: f"U{ord(found[0]):04X}", prediction.record)
    name = re.sub(r"[^A-Za-z0-9_-]", "_", name)
    path = folder / f"{name}.{ENDING}"
    if path in keep:
        raise DataError(
            f"{path} is already that of another recording of the same name; predict them one by one, each "
            "into a folder of its own"
        )
    with temporary_folder() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # wfdb's use of pandas, about which its user can do nothing
        wfdb.wrann(
            name,
            ENDING,
            np.array([round(seconds * prediction.rate_hz) for seconds, _, _ in changes]),
            symbol=[symbol for _, symbol, _ in changes],
            aux_note=[note for _, _, note in changes],
            fs=prediction.rate_hz,
            write_dir=str(scratch),
        )
        content = (scratch / f"{name}.{ENDING}").read_bytes()
    write_whole(path, content)
    return path


def _changes(prediction: RecordingPrediction) -> Iterator[tuple[float, str, str]]:
    """Yield (seconds, symbol, note) wherever the rhythm changes or answers end or begin."""
    episodes = iter(prediction.episodes)
    episode = next(episodes, None)
    before = ""
    for part in prediction.parts:
        while episode is not None and episode.end_seconds <= part.start_seconds:
            episode = next(episodes, None)
        inside = episode is not None and episode.start_seconds <= part.start_seconds
        missing = "not scored" if part.probability is None else "no answer"
        now = missing if part.reason is not None else "(AFIB" if inside else "(N"
        if now != before:
            yield part.start_seconds, "~" if part.reason is not None else "+", now
        before = now
