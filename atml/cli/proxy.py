"""`atml proxy`."""

from typing import Annotated

import typer

from atml import defaults
from atml.cli import options


def proxy(
    storage: options.Storage = defaults.STORAGE,
    host: Annotated[
        str, typer.Option("--host", metavar="NAME", help="Address to listen on; 0.0.0.0 for all of them.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 takes any free one.")
    ] = 13000,
) -> None:
    """Stand between the database and hundreds of workers, which need no connections of their own.

    Workers, and all other commands, take its address for their storage. It closes and queues again
    the trials of workers that died. Restarting it costs time, but no trial.

    It has no password and no encryption: whoever reaches the port can read, change and delete every
    study. Let nothing but the workers reach it.

    Example:  atml proxy --storage postgresql://atml@db.example/atml --host 10.0.0.5

    On the workers' machines:  atml worker --storage grpc://10.0.0.5:13000
    """
    from atml.errors import StorageError
    from atml.service.address import Address
    from atml.service.storage import is_proxy, open_database
    from atml.service.storage.patience import WORKER_PATIENCE_SECONDS
    from atml.service.worker import quieten_optuna

    if is_proxy(storage):
        raise StorageError(f"{storage} is a proxy itself; give this one the database, SQLite or PostgreSQL")
    try:
        from atml.service.proxy import THREADS, EndOnSignal, serve
    except ImportError:
        raise StorageError("gRPC is not installed: pip install 'atml[grpc]'") from None
    address = Address(host=host, port=port)
    if not address.is_loopback():
        typer.echo(
            f"Warning: {host} can be reached from other machines, and whoever reaches it can read, change "
            "and delete every study: there is no password and no encryption.",
            err=True,
        )
    ending = EndOnSignal()
    ending.install()
    quieten_optuna()
    ready = False
    # Once it serves, those who ask do the waiting: each knows how long it can.
    opened = open_database(
        storage,
        patience_seconds=WORKER_PATIENCE_SECONDS,
        wait_for_server=True,
        give_up=lambda: ready or ending.requested(),
        threads=THREADS,
    )
    ready = True
    serve(
        opened,
        address,
        ending=ending,
        on_ready=lambda url: typer.echo(f"Proxy: {url}  (Ctrl-C ends it)", err=True),
    )
