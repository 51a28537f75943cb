"""`atml export-qdq`."""

from pathlib import Path
from typing import Annotated

import typer

from atml import defaults
from atml.cli import options
from atml.cli.console import print_json


def export_qdq(
    model: options.Model,
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            metavar="DIR",
            help="Segments from which activation ranges are taken, preferably the training segments.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="File to write.")] = Path(
        "model.qdq.onnx"
    ),
    storage: options.Storage = defaults.STORAGE,
    skip_bad: options.SkipBad = False,
    as_json: options.Json = False,
) -> None:
    """Write a model with 8 bit weights and activations, for hardware that computes in integers.

    ONNX Runtime quantizes the layers and marks them with QuantizeLinear and DequantizeLinear (QDQ); scaling
    of the segment stays in float32. Recurrent networks are refused. Both models are compared on segments
    that the ranges were not taken from, if more than 300 are given; as by `atml evaluate`, the look of each
    at segments other than the training segments is counted. For a small file, take the bundle's
    model.int8.onnx instead.

    Example:  atml export-qdq results/ecm/8KB-dscnn-trial64 --data data/iesd/train --out model.qdq.onnx
    """
    from atml.cli.console import next_step
    from atml.cli.display import Terminal
    from atml.reports.html.words import f4
    from atml.reports.qdq import export_qdq as export
    from atml.service.data import load_segments

    watch = Terminal()
    made = export(model, load_segments(data, watch, skip_bad=skip_bad), out, storage=storage, watch=watch)
    if as_json:
        print_json({"out": out, **vars(made)})
        return
    typer.echo(f"{out}: {made.onnx_bytes:,} bytes (before {made.onnx_bytes_before:,})")
    typer.echo(
        f"{made.decisions_equal:.2%} of {made.metrics.segments:,} decisions equal; F1 "
        f"{f4(made.metrics.defined('f1'))} (before {f4(made.metrics_before.defined('f1'))})"
    )
    if not made.compared_on_others:
        typer.echo("These segments gave the ranges, too; give more segments to compare both on others.")
    next_step(f"atml evaluate {out} --data DIR")
