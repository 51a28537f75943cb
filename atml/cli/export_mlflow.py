"""`atml export-mlflow`."""

from pathlib import Path
from typing import Annotated

import typer

from atml import defaults
from atml.cli import options
from atml.cli.console import print_json


def export_mlflow(
    study: options.Study,
    tracking_uri: Annotated[
        str,
        typer.Option(
            "--tracking-uri",
            envvar="MLFLOW_TRACKING_URI",
            metavar="URI",
            help="MLflow's server or database: http://HOST:5000 or sqlite:///FILE.",
        ),
    ],
    experiment: Annotated[
        str, typer.Option("--experiment", metavar="NAME", help="Experiment to log to.")
    ] = "atml",
    bundle: Annotated[
        Path | None,
        typer.Option("--bundle", metavar="DIR", help="A bundle of the study; its files become artifacts."),
    ] = None,
    storage: options.Storage = defaults.STORAGE,
    as_json: options.Json = False,
) -> None:
    """Log a study to MLflow: one run for the study, and within it one for each trial.

    Run it again to bring the runs up to date; nothing is logged twice. It needs
    pip install 'atml[mlflow]' in the environment that has ATML.

    Example:  atml export-mlflow ecm --tracking-uri sqlite:///mlflow.db
    """
    from atml.cli.console import bar, next_step
    from atml.reports.mlflow_export import export_mlflow as export
    from atml.service.storage import open_storage
    from atml.service.studies import check_trials, load
    from atml.words import counted

    stored = load(open_storage(storage, must_exist=True), study)
    check_trials(stored)
    with bar(f"Logging {study}", "trials") as update:
        done = export(
            stored, tracking_uri=tracking_uri, experiment=experiment, bundle=bundle, progress=update
        )
    if as_json:
        print_json(done)
        return
    typer.echo(
        f"{study}: experiment {done.experiment!r} has {counted(done.created, 'new run')} of trials, "
        f"{done.updated:,} updated and {done.unchanged:,} unchanged"
    )
    next_step("mlflow server --backend-store-uri URI    (pip install mlflow)")
