"""`atml resume`."""

from typing import Annotated

import typer

from atml import defaults
from atml.cli import options


def resume(
    study: Annotated[str, typer.Argument(help="Name of the study.")],
    storage: options.Storage = defaults.STORAGE,
) -> None:
    """Let workers continue a stopped study.

    Example:  atml resume ecm-phase1
    """
    from atml.cli.console import next_step
    from atml.errors import StudyError
    from atml.service.storage import open_storage
    from atml.service.studies import load
    from atml.tuning.stop import StoppedBy, clear_stop, read

    stored = load(open_storage(storage, must_exist=True), study)
    sign = read(stored.study)
    if sign is None:
        typer.echo(f"{study} is not stopped.")
    elif sign.by is StoppedBy.USER:
        clear_stop(stored.study)
        typer.echo(f"{study}: workers may continue it.")
        next_step(f"atml worker {study}", storage=storage)
    elif sign.by is StoppedBy.ERRORS:
        raise StudyError(
            f"study {study!r} has ended because {sign.because}; once that is fixed, submit its spec under "
            "another name"
        )
    elif sign.by is StoppedBy.SPACE:
        raise StudyError(
            f"study {study!r} has ended because {sign.because}; search more sizes, learning rates or "
            "architectures in a study of another name"
        )
    else:
        raise StudyError(
            f"study {study!r} has ended because {sign.because}; submit its spec with other targets or a "
            "larger budget and --extend"
        )
