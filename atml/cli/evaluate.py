"""`atml evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from atml import defaults
from atml.cli import options
from atml.cli.console import print_json


def evaluate(
    model: options.Model,
    data: Annotated[Path, typer.Option("--data", metavar="DIR", help="Segments to evaluate on.")],
    threshold: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Lowest score that counts as AFIB; the model's own by default."),
    ] = None,
    beta: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=100,
            help="Beta of F-beta; by default that of the bundle's study, 2 for other models.",
        ),
    ] = None,
    storage: options.Storage = defaults.STORAGE,
    skip_bad: options.SkipBad = False,
    as_json: options.Json = False,
) -> None:
    """Measure a model on segments: pooled, per subject and per rhythm.

    All segments count. If the bundle gives no answer to some, the figures of the others alone are beside.

    Each evaluation of a bundle, or of an ONNX file in it, on segments other than its training segments is
    counted on its study, if --storage has it; so is each threshold and beta. A warning names subjects that
    have the names of training subjects.

    Example:  atml evaluate results/ecm/8KB-dscnn-trial64 --data data/iesd/test
    """
    from atml import api
    from atml.cli.console import next_step
    from atml.cli.display import Terminal
    from atml.cli.model_tables import print_metrics

    metrics = api.evaluate(
        model, data, threshold=threshold, beta=beta, storage=storage, skip_bad=skip_bad, watch=Terminal()
    )
    if as_json:
        print_json(metrics)
    else:
        print_metrics(metrics, metrics.answered, title=f"{model} on {data}")
        next_step(f"atml predict {model} FILE")
