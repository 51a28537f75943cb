"""`atml worker`."""

import contextlib
import secrets
from typing import Annotated

import typer

from atml import defaults
from atml.cli import options


def worker(
    study: Annotated[
        str | None, typer.Argument(help="Study to work on; by default, every unfinished study.")
    ] = None,
    storage: options.Storage = defaults.STORAGE,
    artifacts: options.Artifacts = defaults.ARTIFACTS,
    device: options.Device = "auto",
    threads: Annotated[
        int, typer.Option(min=1, max=options.MOST_PROCESSES, help="CPU threads to train with.")
    ] = 1,
    index: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=2**31 - 1,  # the sampler's seed is the study's plus this, and takes 32 bits
            help="Number of this worker, which seeds its sampler; random by default.",
        ),
    ] = None,
    train: options.MovedTrain = None,
    supervised_by: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run trials of a study until it is done, or serve all studies and wait for more.

    The storage holds the spec and the location of the data, so any process with access to it can help;
    data that differ from the study's are refused. The oldest unfinished study comes first. The first
    Ctrl-C finishes the epoch and queues the trial again; the second exits at once, and more are ignored.

    Example:  atml worker ecm-phase1 --index 3
    """
    import optuna

    from atml.service.alive import Registration, Workers
    from atml.service.artifacts import check_place
    from atml.service.serving import serve
    from atml.service.signals import LeaveOnSignal
    from atml.service.storage import WORKER_RETRY_SECONDS, open_storage
    from atml.service.studies import load
    from atml.service.worker import WorkerSettings, work
    from atml.training import choose_device
    from atml.tuning.stop import read
    from atml.tuning.times import run_in_utc

    run_in_utc()
    leave = LeaveOnSignal(supervised_by).install()
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # the log has ATML's own lines
    with leave.interrupting():
        check_place(artifacts)
        opened = open_storage(
            storage,
            must_exist=study is not None,
            retry_seconds=WORKER_RETRY_SECONDS,
            wait_for_server=True,  # there may be nobody to restart it
            give_up=leave.requested,
        )
        number = secrets.randbelow(100_000) if index is None else index
        chosen = str(choose_device(device))
        with Registration(Workers(opened), number=number, device=chosen, threads=threads) as registration:
            settings = WorkerSettings(
                artifacts=artifacts, train=train, leave=leave, registration=registration
            )
            if study is not None:
                stored = load(opened, study)
                work(stored, settings)
                sign = read(stored.study)
                why = sign.because if sign else "this worker was asked to"
                _say(f"{study}: left, since {why}")
            else:
                serve(opened, settings, say=_say)


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # the log may be on a full disk, which may get room again
        typer.echo(text, err=True)
