"""`atml finalize`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atml.cli import options

if TYPE_CHECKING:
    from atml.reports.finalize import Final
    from atml.service.studies import StoredStudy


def finalize(
    study: Annotated[str, typer.Argument(help="Name of a study with finished trials.")],
    train: options.Train = None,
    test: options.Test = None,
    out: options.Out = options.DEFAULT_OUT,
    workers: options.Workers = options.default_workers(),
    storage: options.Storage = options.DEFAULT_STORAGE,
    artifacts: options.Artifacts = options.DEFAULT_ARTIFACTS,
    device: options.Device = "auto",
    skip_bad: options.SkipBad = False,
    as_json: options.Json = False,
) -> None:
    """Retrain the winners, calibrate the threshold, test once, and write the bundle.

    The best trials are judged again on folds that are cut otherwise than the search's; the winner is trained
    on all subjects. Each look at the test segments is counted in metrics.json.

    Example:  atml finalize ecm-phase2 --test data/iesd/test
    """
    from atml.cli.documents import final_document
    from atml.cli.tables import print_final
    from atml.reports.bundle import to_json
    from atml.service.storage import open_storage
    from atml.service.studies import load
    from atml.service.worker import quieten_optuna

    quieten_optuna()
    stored = load(open_storage(storage), study)
    final = finalize_study(
        stored,
        train=train,
        test=test,
        out=out,
        artifacts=artifacts,
        workers=workers,
        device=device,
        skip_bad=skip_bad,
    )
    if as_json:
        typer.echo(to_json(final_document(final)), nl=False)
    else:
        print_final(final)


def finalize_study(
    stored: "StoredStudy",
    *,
    test: Path | None,
    out: Path,
    artifacts: str,
    workers: int,
    device: str,
    skip_bad: bool,
    train: Path | None = None,
) -> "Final":
    """Finalize under a progress bar."""
    from atml.cli.console import bar, load_with_progress
    from atml.reports.finalize import finalize as make

    held_out = load_with_progress(test, skip_bad=skip_bad) if test is not None else None
    with bar(f"Finalizing {stored.study.study_name}", "fits") as update:
        return make(
            stored,
            test=held_out,
            out=out,
            artifacts=artifacts,
            workers=workers,
            device=device,
            train=train.resolve() if train else None,
            report=lambda _stage, done, total: update(done, total),
        )
