"""Recordings in the formats of the field → a directory of segments, with its provenance."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from atml.ecg.cutting import FILTER, SEGMENT_SECONDS
from atml.ecg.import_writing import Import as Import
from atml.ecg.import_writing import Writing
from atml.ecg.provenance import Source, read_source, write_index, write_provenance
from atml.ecg.segment import AFIB_RHYTHM, SAMPLING_RATE_HZ
from atml.ecg.sources.columns import as_text
from atml.ecg.sources.finding import find_items
from atml.ecg.sources.iesd import Problem
from atml.ecg.sources.recording import Reading, rhythm_code
from atml.ecg.subjects import compiled
from atml.errors import DataError
from atml.files import whole_directory
from atml.version import __version__

SHOWN_PROBLEMS = 20
LONGEST_STEP_SECONDS = 86_400.0


def import_recordings(
    path: str | Path,
    out: str | Path,
    *,
    lead: str | None = None,
    positive: Sequence[str] = (AFIB_RHYTHM,),
    subject: str | None = None,
    rate_hz: float | None = None,
    columns: Mapping[str, str] | None = None,
    annotator: str = "atr",
    step_seconds: float = SEGMENT_SECONDS,
    source_format: str | None = None,
    origin: str | None = None,
    licence: str | None = None,
    skip_bad: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Import:
    """Make a directory of 5 s segments of recordings with annotated rhythms.

    Reads WFDB records, EDF and EDF+, CSV, NPZ and Parquet files, and segment directories of another length
    or rate. Each segment lies within one rhythm and contains no gap; it is resampled to 250 Hz and filtered
    to 0.5 to 50 Hz. `provenance.json` and `segments.csv`, written beside the segments, say what they were
    made of. The directory is written completely or not at all.

    Args:
        path: A directory, searched with its subdirectories, or one file.
        out: A new or empty directory.
        lead: Name or number (from 0) of the channel; by default the first ECG channel.
        positive: Rhythms that are the class to find; their segments are named AFIB.
        subject: Regular expression that finds the person in a record's name, as its first group. By default
            what the source states, or else each record is taken for another person.
        rate_hz: Sampling rate of tables and segment directories.
        columns: Which column or array of a table holds the `signal`, `rhythm`, `subject`, `record`, `time`
            (seconds) or `rate` (Hz).
        annotator: Ending of the WFDB annotation files.
        step_seconds: Time between the beginnings of two segments; 60 takes one segment a minute.
        source_format: `wfdb`, `edf`, `csv`, `npz`, `parquet` or `segments`; recognised by default.
        origin: Where the recordings come from, for the provenance.
        licence: Their licence, for the provenance.
        skip_bad: Leave unusable records out instead of refusing.
        progress: Called with (records done, records in total).

    Raises:
        DataError: an option is wrong, a package is missing, or a record cannot be used and `skip_bad` is
            False; names each such record.
        NoSegments: the path holds no recording.
        CannotWrite: the directory cannot be written.
    """
    path = Path(path)
    codes = (rhythm_code(as_text(rhythm)) for rhythm in positive)
    chosen = tuple(dict.fromkeys(code for code in codes if code))
    _check(chosen, step_seconds)
    source = read_source(path) or Source(origin="not stated", licence="not stated")
    pattern = compiled(subject or source.subject_pattern)
    reading = Reading(
        lead=lead,
        rate_hz=rate_hz,
        columns=dict(columns or {}),
        annotator=annotator.removeprefix("."),
        rhythms=frozenset(chosen),
    )
    format_, items, notes = find_items(path, source_format, reading)
    with whole_directory(Path(out)) as directory:
        writing = Writing(directory=directory, positive=chosen, step_seconds=step_seconds, pattern=pattern)
        writing.notes += notes
        for done, item in enumerate(items, start=1):
            writing.add(item)
            progress(done, len(items))
        if writing.problems and not skip_bad:
            raise DataError(_summary(path, writing.problems, writing.seen))
        result = writing.finish(Path(out), format_)
        if not result.segments:
            raise DataError(_nothing(path, result))
        write_index(directory, writing.index)
        settings = {"path": str(path), "subject_pattern": pattern.pattern if pattern else None}
        source = replace(source, origin=origin or source.origin, licence=licence or source.licence)
        write_provenance(directory, _provenance(result, source, step_seconds, settings))
    return result


def _check(positive: tuple[str, ...], step_seconds: float) -> None:
    if not positive:
        raise DataError("--positive names no rhythm; give one such as AFIB, or several such as AFIB,AFL.")
    if not 0 < step_seconds <= LONGEST_STEP_SECONDS:
        raise DataError(
            f"--step must be more than 0 and at most {LONGEST_STEP_SECONDS:g} seconds "
            f"but got {step_seconds:g}."
        )


def _summary(path: Path, problems: Sequence[Problem], records: int) -> str:
    more = len(problems) - SHOWN_PROBLEMS
    return "\n".join(
        [
            f"{len(problems)} of {records} records in {path} cannot be used:",
            *(f"  {problem}" for problem in problems[:SHOWN_PROBLEMS]),
            *([f"  … and {more} more"] if more > 0 else []),
            "Nothing was written. Leave such records out, with a list of them, with --skip-bad.",
        ]
    )


def _nothing(path: Path, result: Import) -> str:
    why = [str(problem) for problem in result.skipped] + list(result.notes)
    return "\n".join([f"no segment could be made of {path}:", *(f"  {one}" for one in why[:SHOWN_PROBLEMS])])


def _provenance(
    result: Import, source: Source, step_seconds: float, settings: dict[str, str | None]
) -> dict[str, Any]:
    """Return what the segments were made of, and how."""
    subjects = {
        subject: {"person": records[0].person, "records": [one.record for one in records]}
        for subject, records in result.subjects.items()
    }
    return {
        "atml_version": __version__,
        "origin": source.origin,
        "licence": source.licence,
        "citation": source.citation,
        "source_format": result.format,
        **settings,
        "segment_seconds": SEGMENT_SECONDS,
        "step_seconds": step_seconds,
        "rate_hz": SAMPLING_RATE_HZ,
        "filter": FILTER,
        "positive_rhythms": list(result.positive),
        "segments": result.segments,
        "rhythms": result.rhythms,
        "subjects": subjects,
        "records": [asdict(one) for one in result.records],
        "skipped": [{"record": one.file, "reason": one.text} for one in result.skipped],
        "notes": list(result.notes),
    }
