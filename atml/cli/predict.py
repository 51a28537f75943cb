"""`atml predict`."""

import csv
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atml.cli import options
from atml.cli.console import print_json
from atml.errors import BadSegment, DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from atml.evaluation import Episode
    from atml.reports.predicting import RecordingPart, RecordingPrediction


def predict(
    model: options.Model,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE…",
            help="Recordings, directories of recordings, or segments with one number per line.",
        ),
    ],
    lead: options.Lead = None,
    rate: options.Rate = None,
    columns: Annotated[
        str | None,
        typer.Option(
            "--columns",
            metavar="ROLE=NAME,…",
            help="Columns of tables: signal, subject, record, time (s), rate (Hz).",
        ),
    ] = None,
    source_format: options.SourceFormat = None,
    minimum: Annotated[
        float,
        typer.Option(
            "--minimum",
            metavar="SECONDS",
            min=0,
            help="Leave out shorter episodes, with --episodes, --annotations or --json; 30 is usual in "
            "clinical use.",
        ),
    ] = 0.0,
    episodes: Annotated[
        bool,
        typer.Option(
            "--episodes",
            help="Print the episodes of recordings instead of their segments; --json prints both anyway.",
        ),
    ] = False,
    annotations: Annotated[
        Path | None,
        typer.Option(
            "--annotations",
            metavar="DIR",
            help="Also write the rhythms of each recording as DIR/RECORD.ecm; needs the formats extra.",
        ),
    ] = None,
    skip_bad: Annotated[
        bool,
        typer.Option(
            "--skip-bad", help="Leave out files that cannot be read, list them, and exit with 1 at the end."
        ),
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Print the probability of atrial fibrillation for each segment, as CSV or JSON.

    A recording (WFDB, EDF, CSV, NPZ or Parquet, of any length) is resampled and filtered as by `atml data
    import` and scored from its beginning, segment after segment; gaps and flat lines get no score. CSV files
    are recordings if --columns is given. An episode is a sequence of consecutive segments called AFIB; a part
    without a score or an answer ends it. --json adds the burden, the share of the answered time that lies in
    episodes.

    Other files are single segments: text files of any name with as many numbers as the model takes samples.

    \b
    Example:
      atml predict results/ecm/8KB-dscnn-trial64 S1-N-7.txt S1-AFIB-12.txt
      atml predict results/ecm/8KB-dscnn-trial64 holter.edf --lead II --episodes --minimum 30
      atml predict results/ecm/8KB-dscnn-trial64 data/afdb/04015 --annotations rhythms --json
      atml predict results/ecm/8KB-dscnn-trial64 watch.csv --columns signal=ecg --rate 200
    """
    from atml.evaluation import Episode
    from atml.reports.predicting import EPISODE_RULE, recording_path

    tables = columns is not None or source_format is not None
    recordings = [path for path in files if tables or recording_path(path)]
    if not recordings:
        if episodes or annotations or lead or rate or minimum:
            raise DataError(
                f"{files[0]} is taken for a segment of 250 Hz, without leads or episodes; give --columns for "
                "a table"
            )
        _say_left_out(_print_segments(model, files, skip_bad=skip_bad, as_json=as_json))
        return
    if len(recordings) < len(files):
        segment = next(path for path in files if path not in recordings)
        raise DataError(
            f"{segment} is taken for a segment but {recordings[0]} for a recording; predict them separately, "
            "and give --columns for tables"
        )
    from atml import api
    from atml.cli.display import Terminal

    left_out: list[str] = []
    found = api.predict(
        model,
        files,
        lead=lead,
        rate_hz=rate,
        columns=options.pairs(columns),
        source_format=source_format,
        minimum_seconds=minimum,
        skipped=left_out.append if skip_bad else None,
        # Rows are printed as they become known, and would stand on the bar's line.
        watch=Terminal() if as_json or not sys.stdout.isatty() else None,
    )
    if annotations is not None:
        found = _annotated(found, annotations)
    if as_json:
        documents = [
            {
                **vars(one),
                "episode_rule": EPISODE_RULE,
                "episodes": [_episode(episode) for episode in one.episodes],
                "parts": [_part(part) for part in one.parts],
            }
            for one in found
        ]
        print_json(documents)
    elif episodes:
        rows = ({"record": one.record, **_episode(episode)} for one in found for episode in one.episodes)
        _print_rows(rows, ("record", *(field.name for field in fields(Episode))))
    else:
        rows = ({"record": one.record, **_part(part)} for one in found for part in one.parts)
        _print_rows(rows, ("record", "start_seconds", "end_seconds", "probability", "class", "reason"))
    _say_left_out(left_out)


def _say_left_out(reasons: list[str]) -> None:
    """Name the files that could not be read, and exit with 1 if there are any."""
    for reason in reasons:
        typer.echo(f"Left out: {reason}", err=True)
    if reasons:
        raise typer.Exit(1)


def _annotated(found: "Iterable[RecordingPrediction]", folder: Path) -> "Iterator[RecordingPrediction]":
    from atml.reports.rhythm_files import write_annotations

    written: set[Path] = set()
    for one in found:
        path = write_annotations(one, folder, keep=written)
        if path is not None:
            written.add(path)
        yield one


NO_ANSWER = "no answer"  # where a bundle is not confident enough


def _part(part: "RecordingPart") -> dict[str, object]:
    return {
        "start_seconds": round(part.start_seconds, 4),
        "end_seconds": round(part.end_seconds, 4),
        "probability": None if part.probability is None else round(part.probability, 6),
        "class": part.called,
        "reason": part.reason,
    }


def _episode(one: "Episode") -> dict[str, object]:
    return {name: round(value, 6) for name, value in asdict(one).items()}


def _print_rows(rows: Iterable[dict[str, object]], columns: tuple[str, ...]) -> None:
    """Print rows as CSV, each as soon as it is known."""
    writer = csv.DictWriter(sys.stdout, fieldnames=columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def _print_segments(model: Path, files: list[Path], *, skip_bad: bool, as_json: bool) -> list[str]:
    """Print the scores of single segments, and return what is wrong with those left out."""
    import numpy as np

    from atml.evaluation import confidence
    from atml.reports.bundle import load_model

    classifier, least_confidence = load_model(model)
    read: dict[Path, NDArray[np.float32]] = {}
    left_out: list[str] = []
    for path in files:
        try:
            read[path] = _read(path, classifier.segment_length)
        except BadSegment as error:
            if not skip_bad:
                raise
            left_out.append(str(error))
    samples = np.stack([*read.values()]) if read else np.empty((0, classifier.segment_length), np.float32)
    probabilities = classifier.probabilities(samples)
    threshold = classifier.metadata.threshold
    sure = confidence(probabilities, threshold) >= least_confidence
    rows: list[dict[str, object]] = [
        {
            "file": str(path),
            "probability": round(float(probability), 6),
            "class": classifier.metadata.classes[int(probability >= threshold)] if answered else NO_ANSWER,
        }
        for path, probability, answered in zip(read, probabilities, sure, strict=True)
    ]
    if as_json:
        print_json(rows)
    else:
        _print_rows(rows, ("file", "probability", "class"))
    return left_out


def _read(path: Path, length: int) -> "NDArray[np.float32]":
    from atml.ecg.sources.iesd import Problem, read_segment

    found = read_segment(path)
    if isinstance(found, Problem):
        hint = "; for a table give --columns" if path.suffix.lower() in (".csv", ".tsv") else ""
        raise BadSegment(f"{path.parent}/{found}{hint}")
    if len(found) != length:
        advice = "cut it to that length" if len(found) > length else "give a longer segment"
        raise BadSegment(f"{path}: has {len(found)} samples but the model takes {length}; {advice}")
    return found
