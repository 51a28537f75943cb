"""`atml data import`, `fetch` and `show`: from recordings in the formats of the field to segments."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atml.cli import options
from atml.cli.console import bar, err, next_step, out, print_json
from atml.words import counted, listed

if TYPE_CHECKING:
    from atml.ecg.importing import Import
    from atml.reports.segments_page import Contents

MOST_NAMES = 3


def import_(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Directory of recordings, or one file.")],
    directory: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="New or empty directory for the segments.")
    ],
    lead: options.Lead = None,
    positive: Annotated[
        str,
        typer.Option(
            "--positive", metavar="RHYTHM,…", help="Rhythms that count as AFIB, the class to detect."
        ),
    ] = "AFIB",
    subject: Annotated[
        str | None,
        typer.Option(
            "--subject",
            metavar="REGEX",
            help="Finds the person in a record's name, as its first group: data_([0-9]+)_",
        ),
    ] = None,
    rate: options.Rate = None,
    columns: Annotated[
        str | None,
        typer.Option(
            "--columns",
            metavar="ROLE=NAME,…",
            help="Columns of tables: signal, rhythm, subject, record, time (s), rate (Hz).",
        ),
    ] = None,
    annotator: Annotated[
        str, typer.Option("--annotator", metavar="ENDING", help="Ending of WFDB annotation files.")
    ] = "atr",
    step: Annotated[
        float,
        typer.Option(
            "--step",
            metavar="SECONDS",
            help="Time between the beginnings of two segments; 60 takes one a minute.",
        ),
    ] = 5.0,
    source_format: options.SourceFormat = None,
    origin: Annotated[
        str | None, typer.Option("--origin", metavar="TEXT", help="Where the recordings come from.")
    ] = None,
    licence: Annotated[
        str | None, typer.Option("--licence", metavar="TEXT", help="Licence of the recordings.")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave unusable records out and list them.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Cut recordings with annotated rhythms into 5 s segments.

    Reads WFDB, EDF and EDF+, CSV, NPZ and Parquet, and segment directories of another length or rate.
    Each segment lies within one rhythm, without gaps, at 250 Hz and 0.5 to 50 Hz. DIR also gets
    provenance.json (what was done) and segments.csv (record and time of each segment).

    Several recordings of one person must be one subject, or a search validates on people it was trained
    on: check the list of subjects that is printed. WFDB, EDF and Parquet need pip install 'atml[formats]'
    in the environment that has ATML.

    \b
    Example:
      atml data import data/afdb --out data/afdb-5s
      atml data import data/cpsc --lead II --subject 'data_([0-9]+)_' --out data/cpsc-5s
      atml data import holter.csv --columns signal=ecg,rhythm=label --rate 200 --out data/holter
    """
    from atml.ecg.importing import import_recordings

    with bar(f"Importing {path}", "records") as progress:
        result = import_recordings(
            path,
            directory,
            lead=lead,
            positive=positive.split(","),
            subject=subject,
            rate_hz=rate,
            columns=options.pairs(columns),
            annotator=annotator,
            step_seconds=step,
            source_format=source_format,
            origin=origin,
            licence=licence,
            skip_bad=skip_bad,
            progress=progress,
        )
    if as_json:
        print_json(result)
    else:
        _print_import(result)
        next_step(f"atml data check {directory}")


def fetch(
    database: Annotated[str, typer.Argument(metavar="DATABASE", help="afdb, ltafdb or cpsc2021.")],
    directory: Annotated[Path, typer.Option("--out", metavar="DIR", help="Directory for the files.")],
    base_url: Annotated[
        str | None,
        typer.Option("--from", metavar="URL", envvar="ATML_PHYSIONET", help="Mirror of PhysioNet's files."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Download a database of PhysioNet, with its licence.

    Every file is compared with its checksum. Run the same command again after an interruption: it
    continues where it stopped.

    \b
    Example:
      atml data fetch afdb --out data/afdb
      atml data import data/afdb --out data/afdb-5s
    """
    from atml.ecg.sources.physionet import fetch_recordings

    with bar(f"Downloading {database}", "files") as progress:
        result = fetch_recordings(database, directory, base_url=base_url, progress=progress)
    if as_json:
        print_json(result)
    else:
        typer.echo(
            f"{directory}: {counted(result.records, 'record')}, {counted(result.files, 'file')}, "
            f"{result.downloaded_bytes / 1e6:,.1f} MB downloaded\n"
            f"Licence: {result.licence}; ATTRIBUTION.md says how to cite it"
        )
        next_step(f"atml data import {directory} --out {directory}-5s")


def show(
    path: Annotated[Path, typer.Argument(metavar="DIR|FILE", help="Segment directory, or one segment.")],
    page: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page with examples on ECG paper.")
    ] = None,
    examples: Annotated[
        int, typer.Option("--examples", min=1, help="Examples of each rhythm on the page.")
    ] = 3,
    as_json: options.Json = False,
) -> None:
    """Count the segments of DIR by rhythm, and draw examples of each.

    The page is one file that needs no network; printed, a trace has 25 mm for a second and 10 mm for 1 mV.

    \b
    Example:
      atml data show data/afdb-5s
      atml data show data/afdb-5s --html afdb.html
    """
    from atml.files import write_text
    from atml.reports import segments_page

    with bar(f"Reading {path}", "files") as progress:
        found = segments_page.contents(path, progress=progress)
    if page is not None:
        drawn = segments_page.examples(path, examples)
        write_text(page, segments_page.page(path.name, drawn, found))
    if as_json:
        print_json(found)
    else:
        _print_contents(found)
        if page is not None:
            typer.echo(f"Examples: {page}")


def _print_import(result: "Import") -> None:
    for subject, records in result.subjects.items():
        names = [one.record for one in records]
        segments = sum(one.segments for one in records)
        typer.echo(
            f"{subject}: {records[0].person!r}, {counted(len(names), 'record')}, "
            f"{counted(segments, 'segment')}: {listed(names, MOST_NAMES)}"
        )
    rhythms = ", ".join(f"{name or '(none)'} {count:,}" for name, count in result.rhythms.items())
    typer.echo(
        f"{result.directory}: {counted(result.segments, 'segment')} of "
        f"{counted(len(result.subjects), 'subject')} from {counted(len(result.records), 'record')} "
        f"({rhythms})\n"
        f"of the class to find ({', '.join(result.positive)}): {counted(result.positive_segments, 'segment')}"
    )
    if result.skipped:
        typer.echo(f"Left out, since they cannot be used: {len(result.skipped):,}")
    for problem in result.skipped:
        typer.echo(f"  {problem}")
    for note in result.notes:
        err().print(f"Note: {note}")


def _print_contents(found: "Contents") -> None:
    """Print what a segment directory holds, by rhythm."""
    from atml.cli.tables import new_table

    title = (
        f"{found.path}: {counted(found.segments, 'segment')} of {counted(found.subjects, 'subject')}, "
        f"{counted(found.samples, 'sample')}"
    )
    table = new_table(title, "rhythm", "class", "segments", "subjects")
    for one in found.rhythms:
        class_ = "AFIB" if one.afib else "Normal"
        table.add_row(one.rhythm or "(none)", class_, f"{one.segments:,}", f"{one.subjects:,}")
    console = out()
    console.print(table)
    if found.problems:
        console.print(f"  {counted(found.problems, 'file')} cannot be used; see `atml data check`")
    if (known := found.provenance) is not None:
        console.print(f"  origin: {known.get('origin')}; licence: {known.get('licence')}")
