"""`atml stop` and `atml resume`."""

from typing import TYPE_CHECKING

import typer

from atml import defaults
from atml.cli import options
from atml.cli.console import next_step
from atml.errors import StudyError

if TYPE_CHECKING:
    from atml.tuning.stop import Stop


def stop(study: options.Study, storage: options.Storage = defaults.STORAGE) -> None:
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


def resume(study: options.Study, storage: options.Storage = defaults.STORAGE) -> None:
    """Let workers continue a stopped study.

    Example:  atml resume ecm-phase1
    """
    from atml.service.storage import open_storage
    from atml.service.studies import load
    from atml.tuning.stop import StoppedBy, clear_stop, read

    stored = load(open_storage(storage, must_exist=True), study)
    sign = read(stored.study)
    if sign is None:
        typer.echo(f"{study} is not stopped.")
        return
    if sign.by is StoppedBy.USER:
        clear_stop(stored.study)
        typer.echo(f"{study}: workers may continue it.")
        next_step(f"atml worker {study}", storage=storage)
        return
    raise StudyError(has_ended(study, sign))


def has_ended(study: str, sign: "Stop") -> str:
    """Return why a study has ended, and how to go on."""
    from atml.tuning.stop import StoppedBy

    to_go_on = {
        StoppedBy.ERRORS: "once that is fixed, submit its spec under another name",
        StoppedBy.SPACE: "search more sizes, learning rates or architectures in a study of another name",
    }
    advice = to_go_on.get(sign.by, "submit its spec with other targets or a larger budget and --extend")
    return f"study {study!r} has ended because {sign.because}; {advice}"
