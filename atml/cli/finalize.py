"""`atml finalize`."""

from typing import Annotated

import typer

from atml import defaults
from atml.cli import options
from atml.cli.console import print_json


def finalize(
    study: Annotated[str, typer.Argument(help="Name of a study with finished trials.")],
    train: options.MovedTrain = None,
    test: options.Test = None,
    out: options.Out = defaults.OUT,
    sizes: options.Sizes = None,
    workers: options.Workers = defaults.default_workers(),
    storage: options.Storage = defaults.STORAGE,
    artifacts: options.Artifacts = defaults.ARTIFACTS,
    device: options.Device = "auto",
    skip_bad: options.SkipBad = False,
    as_json: options.Json = False,
) -> None:
    """Train the best models of a study on all subjects, test each once, and write their bundles.

    The best trials of every size are evaluated again on folds other than those of the search; the best within
    each size is trained on all subjects. The number of evaluations on test segments is recorded in
    metrics.json.

    Example:  atml finalize ecm-phase2 --test data/iesd/test
    """
    from atml import api
    from atml.cli.console import next_step
    from atml.cli.display import Terminal
    from atml.cli.documents.models import final_document
    from atml.cli.model_tables import print_final

    final = api.finalize(
        study,
        train=train,
        test=test,
        sizes=options.in_bytes(sizes),
        storage=storage,
        artifacts=artifacts,
        out=out,
        workers=workers,
        device=device,
        skip_bad=skip_bad,
        watch=Terminal(),
    )
    if as_json:
        print_json(final_document(final))
    else:
        print_final(final)
        next_step(f"atml report {study} --open", storage=storage)
