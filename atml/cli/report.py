"""`atml report`."""

import webbrowser
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atml import defaults
from atml.cli import options

if TYPE_CHECKING:
    from atml.reports.html.contents import Reference

LARGEST_BYTES = 10**12  # of a model in the picture


def report(
    what: Annotated[
        str, typer.Argument(metavar="STUDY|BUNDLE", help="Name of a study, or a bundle's folder.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="The page; NAME-report.html in this folder by default."),
    ] = None,
    results: Annotated[
        Path, typer.Option("--results", metavar="DIR", help="Folder in which a study's bundles are.")
    ] = defaults.OUT,
    train: options.MovedTrain = None,
    traces: Annotated[
        bool, typer.Option("--traces/--no-traces", help="Whether to draw example ECGs of the worst subjects.")
    ] = True,
    reference: Annotated[
        list[str] | None,
        typer.Option(
            "--reference",
            metavar="NAME=BYTES:FBETA",
            help="A known model to draw beside the front, such as AFNet=84900:0.941; may be repeated.",
        ),
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    storage: options.Storage = defaults.STORAGE,
    artifacts: options.Artifacts = defaults.ARTIFACTS,
) -> None:
    """Write a report of a search and its model: one HTML file that needs no network.

    It shows the front, architectures, learning rates, learning curves, pruned trials, subjects, rhythms,
    calibration, robustness, cost and how to reproduce it all. Example ECGs are patients' data: leave them
    out with --no-traces before you pass the file on.

    Example:  atml report ecm --open
    """
    from atml import api
    from atml.cli.console import next_step
    from atml.cli.display import Terminal

    references = [_reference(text) for text in reference or []]
    path = api.report(
        what,
        storage=storage,
        artifacts=artifacts,
        results=results,
        train=train,
        traces=traces,
        references=references,
        out=out,
        watch=Terminal(),
    )
    typer.echo(path)
    if not open_it:
        next_step(f"open {path} in a browser")
    elif not webbrowser.open(path.resolve().as_uri()):
        typer.echo(f"No browser was found; open {path} in one.", err=True)


def _reference(text: str) -> "Reference":
    from atml.reports.html.contents import Reference

    name, _, figures = text.rpartition("=")
    size, _, fbeta = figures.partition(":")
    with suppress(ValueError):
        found = Reference(name=name.strip(), onnx_bytes=int(size.replace("_", "")), fbeta=float(fbeta))
        if found.name and 1 <= found.onnx_bytes <= LARGEST_BYTES and 0 <= found.fbeta <= 1:
            return found
    raise typer.BadParameter(
        f"must be NAME=BYTES:FBETA, such as AFNet=84900:0.941, but got {text!r}", param_hint="--reference"
    )
