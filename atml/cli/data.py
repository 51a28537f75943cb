"""`atml data`: check segments on disk and their labels, or simulate some; `recordings.py` imports."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atml import defaults
from atml.cli import options
from atml.cli.console import bar, next_step, out, print_json
from atml.words import counted, listed

if TYPE_CHECKING:
    from atml.reports.audit import LabelAudit

# `atml --help` imports this module, so slow imports (numpy, scikit-learn) are in the commands.

data_app = typer.Typer(
    name="data",
    help="Import recordings as segments, check segments and their labels, or simulate some.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

MOST_SIMULATED = 100_000  # subjects, and segments of each


@data_app.command()
def check(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Directory of S<subject>-<rhythm>-<index>.txt.")
    ],
    as_json: options.Json = False,
) -> None:
    """Read and count the segments of DIR, and list all problems.

    A segment is a text file named S<subject>-<rhythm>-<index>.txt (S47-AFIB-0.txt) with one number
    per line and the same length as all others. Files that are damaged, misnamed or of another length
    are listed with the line and what to do, and the exit status is 1.

    The text is parsed once and cached (in ATML_CACHE, if set), so the next command starts at once.

    \b
    Example:
      atml data check data/iesd/train
      atml data check data/iesd/train --json | jq .problems
    """
    from atml.ecg import check_directory

    with bar(f"Reading {directory}", "files") as progress:
        report = check_directory(directory, progress=progress)
    if as_json:
        fields = asdict(report)
        for problem in fields["problems"]:
            del problem["unreadable"]
        print_json(fields)
    else:
        typer.echo(
            f"{directory}: {counted(report.segments, 'segment')} of "
            f"{counted(len(report.counts), 'subject')}, {report.segment_length:,} samples each"
        )
        typer.echo(_table(report.counts))
        if report.ignored:
            typer.echo(f"Ignored (not segments): {listed(report.ignored, 5)}")
        count = len(report.problems)
        typer.echo(f"{counted(count, 'problem')}{':' if count else '.'}")
        for line in map(str, report.problems):
            typer.echo(f"  {line}")
    if report.problems:
        raise typer.Exit(1)
    if not as_json:
        next_step(f"atml run --train {directory}")


@data_app.command()
def audit(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Directory of segments.")],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Folder for list and pages.")] = (
        defaults.AUDIT
    ),
    confidence: Annotated[
        float,
        typer.Option(
            min=0.5,
            max=1,
            help="Lowest probability of the other class that makes a label suspicious.",
        ),
    ] = 0.95,
    folds: Annotated[int, typer.Option(min=2, max=100, help="Parts that subjects are split into.")] = 4,
    quick: Annotated[
        bool, typer.Option("--quick", help="Train one network only, and briefly: a rough list, to try it.")
    ] = False,
    workers: options.Workers = defaults.default_workers(),
    device: options.Device = "auto",
    skip_bad: options.SkipBad = False,
    as_json: options.Json = False,
) -> None:
    """List the labels of DIR that are probably wrong. No label is changed.

    Three small networks are trained without a part of the subjects and score those; a label is
    suspicious if all contradict it and their mean does so confidently. FOLDER gets audit.csv, the most
    suspicious first, and a page of ECGs for each of the worst subjects. Lower --confidence to see more;
    that needs no new training.

    \b
    Example:
      atml data audit data/iesd/train --workers 2
      atml data audit data/iesd/train --confidence 0.9 --json | jq '.suspicious[].file'
    """
    from atml.cli.display import Terminal
    from atml.reports.audit import audit_labels

    found = audit_labels(
        directory,
        out=out,
        confidence=confidence,
        folds=folds,
        quick=quick,
        workers=workers,
        device=device,
        skip_bad=skip_bad,
        watch=Terminal(),
    )
    if as_json:
        print_json(found)
    else:
        _print_audit(found)
        next_step("look at the pages; data.exclude_subjects of a spec leaves subjects out")


@data_app.command()
def simulate(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="New or empty directory to write to.")],
    subjects: Annotated[int, typer.Option(min=1, max=MOST_SIMULATED, help="Number of subjects.")] = 24,
    segments: Annotated[int, typer.Option(min=1, max=MOST_SIMULATED, help="Segments per subject.")] = 100,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="The same seed gives the same files.")] = 0,
    first_subject: Annotated[
        int,
        typer.Option(min=0, max=10**9, help="Number of the first subject, to keep sets disjoint."),
    ] = 0,
    as_json: options.Json = False,
) -> None:
    """Write simulated 5 s segments into DIR, to try ATML without real data.

    Each subject has its own waves, rates and noise. Some always fibrillate, some never, most from
    time to time; the other rhythms of real sets occur too. They are not recordings of people: never
    report figures measured on them as results for real patients.

    \b
    Example:
      atml data simulate data/simulated
      atml data simulate data/unseen --subjects 8 --first-subject 100
    """
    from atml.ecg import simulate as write_segments

    with bar(f"Writing {directory}", "segments") as progress:
        simulation = write_segments(
            directory,
            subjects=subjects,
            segments_per_subject=segments,
            seed=seed,
            first_subject=first_subject,
            progress=progress,
        )
    if as_json:
        print_json(simulation)
    else:
        rhythms = ", ".join(f"{rhythm or '(none)'} {count:,}" for rhythm, count in simulation.rhythms.items())
        typer.echo(
            f"{directory}: {counted(simulation.segments, 'simulated segment')} of "
            f"{counted(simulation.subjects, 'subject')} ({rhythms})"
        )
        next_step(f"atml data check {directory}")


def _print_audit(audit: "LabelAudit") -> None:
    """Print the subjects with suspicious labels, the total, the networks, and where the list is."""
    from atml.cli.tables import new_table

    console = out()
    title = f"{audit.directory}: suspicious labels by subject"
    table = new_table(title, "subject", "segments", "labelled AFIB", "labelled Normal", "share")
    doubtful = [one for one in audit.subjects if one.suspicious]
    afib, normal = (sum(one.label == label for one in audit.suspicious) for label in ("AFIB", "Normal"))
    rows = [(one.subject, one.segments, one.suspicious_afib, one.suspicious_normal) for one in doubtful]
    for subject, segments, *counts in [*rows, ("total", audit.segments, afib, normal)]:
        share = f"{sum(counts) / segments:.1%}"
        table.add_row(subject, f"{segments:,}", *(f"{count:,}" for count in counts), share)
    console.print(table)
    sound = len(audit.subjects) - len(doubtful)
    console.print(f"  without a suspicious label: {counted(sound, 'subject')}")
    networks = (f"{one.architecture} (ROC-AUC {one.roc_auc:.3f})" for one in audit.networks)
    console.print(f"  contradicted with confidence {audit.confidence:g} by {', '.join(networks)}")
    for path in (audit.csv, *audit.pages):
        console.print(str(path), style="bold", soft_wrap=True)


def _table(counts: dict[str, dict[str, int]]) -> str:
    """Segments by subject and rhythm, the most common rhythm first, with totals."""
    totals: Counter[str] = sum(map(Counter, counts.values()), Counter())
    rhythms = sorted(totals, key=lambda rhythm: (-totals[rhythm], rhythm))
    rows = [["subject", *(rhythm or "(none)" for rhythm in rhythms), "total"]]
    for subject, of_subject in [*counts.items(), ("total", totals)]:
        cells = [of_subject.get(rhythm, 0) for rhythm in rhythms]
        rows.append([subject, *(f"{cell:,}" if cell else "·" for cell in cells), f"{sum(cells):,}"])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    return "\n".join(["", *lines, ""])
