"""`atml stop`."""

from typing import Annotated

import typer

from atml import defaults
from atml.cli import options


def stop(
    study: Annotated[str, typer.Argument(help="Name of the study.")],
    storage: options.Storage = defaults.STORAGE,
) -> None:
    """Stop all workers of a study, on any machine.

    Each worker finishes its epoch and queues its trial again. `atml resume` lets workers continue.

    Example:  atml stop ecm-phase1
    """
    from atml.service.storage import open_storage
    from atml.service.studies import load
    from atml.tuning.stop import Stop, StoppedBy, read, request_stop

    stored = load(open_storage(storage, must_exist=True), study)
    sign = read(stored.study)
    if sign is not None:
        typer.echo(f"{study} is already stopped: {sign.because}.")
        return
    request_stop(stored.study, Stop(by=StoppedBy.USER, because="stopped by the user"))
    typer.echo(f"{study}: its workers stop after their current epoch. `atml resume` lets them continue.")
