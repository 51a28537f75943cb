"""`atml worker`."""

from typing import Annotated

import typer

from atml.cli import options


def worker(
    study: Annotated[str, typer.Argument(help="Name of the study to join.")],
    storage: options.Storage = options.DEFAULT_STORAGE,
    artifacts: options.Artifacts = options.DEFAULT_ARTIFACTS,
    device: options.Device = "auto",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads to train with.")] = 1,
    index: Annotated[int, typer.Option(min=0, help="Number of this worker; workers draw differently.")] = 0,
    supervised_by: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Join a study and train its trials until it is done.

    The study brings its spec and names its data, so any process that sees the storage can help.
    The first Ctrl-C finishes the epoch and queues the trial again; the second leaves at once.

    Example:  atml worker ecm-phase1 --index 3
    """
    from atml.service.patience import WORKER_PATIENCE_SECONDS
    from atml.service.signals import LeaveOnSignal
    from atml.service.storage import open_storage
    from atml.service.studies import load
    from atml.service.worker import quieten_optuna, work

    leave = LeaveOnSignal(supervised_by).install()
    quieten_optuna()
    opened = open_storage(
        storage,
        patience_seconds=WORKER_PATIENCE_SECONDS,
        wait_for_server=supervised_by is not None,  # it was there for the supervisor
        give_up=leave.requested,
    )
    stored = load(opened, study)
    work(stored, index=index, device=device, threads=threads, artifacts=artifacts, leave=leave)
    if leave.requested():
        raise KeyboardInterrupt
