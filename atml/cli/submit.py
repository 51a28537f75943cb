"""`atml submit`."""

from typing import Annotated

import typer

from atml import defaults
from atml.cli import options
from atml.cli.stopping import has_ended
from atml.errors import StudyError


def submit(
    spec: options.Spec,
    train: options.Train = None,
    storage: options.Storage = defaults.STORAGE,
    artifacts: Annotated[
        str | None,
        typer.Option(
            "--artifacts",
            envvar="ATML_ARTIFACTS",
            metavar="PLACE",
            help="Where the workers keep files, if it can be reached from here: checked before submitting.",
        ),
    ] = None,
    skip_bad: options.SkipBad = False,
    extend: options.Extend = False,
) -> None:
    """Register the study that a spec describes and return; idle workers pick it up, also after `atml stop`.

    A phase 2 study may be submitted together with its phase 1 study: it starts when phase 1 ends.

    Example:  atml submit studies/phase1.toml --train data/iesd/train
    """
    import optuna

    from atml.cli.display import Terminal
    from atml.service.artifacts import open_artifacts
    from atml.service.data import load_training_data
    from atml.service.session import say_left_out, with_training_data
    from atml.service.storage import open_storage
    from atml.service.studies import create_or_resume
    from atml.tuning.phases import load_spec
    from atml.tuning.stop import StoppedBy, clear_stop, read

    watch = Terminal()
    if artifacts is not None:
        open_artifacts(artifacts)  # fails here, not in every worker
    phase = with_training_data(load_spec(spec), train, skip_bad=skip_bad)
    opened = open_storage(storage)
    dataset = load_training_data(phase.data, watch)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    stored = create_or_resume(opened, phase, dataset, extend=extend, may_wait=True, watch=watch)
    say_left_out(stored, watch)
    sign = read(stored.study)
    if sign is not None:
        if sign.by is not StoppedBy.USER:
            raise StudyError(has_ended(phase.name, sign))
        clear_stop(stored.study)
    waits = f"; it waits for {stored.waits_for}" if stored.waits_for else ""
    typer.echo(f"{phase.name}: submitted{waits}. `atml worker` serves it, `atml status` shows it.")
