"""`atml dashboard`."""

import os
from typing import Annotated

import typer

from atml import defaults
from atml.cli import options

AUTH = "ATML_DASHBOARD_AUTH"


def dashboard(
    storage: options.Storage = defaults.STORAGE,
    artifacts: options.Artifacts = defaults.ARTIFACTS,
    host: Annotated[
        str,
        typer.Option(
            "--host", metavar="NAME", help=f"Address to listen on; any but loopback requires {AUTH}."
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 picks a free one.")
    ] = 8080,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Refuse all changes, such as deleting or renaming a study.")
    ] = False,
) -> None:
    """Show the studies in a browser, with their models and pictures, until Ctrl-C.

    Set ATML_DASHBOARD_AUTH=user:password to require a login. It is read only from the environment,
    since every user of a machine can read its command lines.

    Example:  atml dashboard --read-only
    """
    from atml.dashboard.app import Address, credentials_for, dashboard_app, serve
    from atml.service.artifacts import open_artifacts
    from atml.service.storage import open_storage

    address = Address(host=host, port=port)
    credentials = credentials_for(address, os.environ.get(AUTH))
    opened = open_storage(storage, must_exist=read_only)
    # Existing artifacts can be shown even if the place is full or read-only.
    store = open_artifacts(artifacts, only_reading=True)
    count = len(opened.get_all_studies())
    app = dashboard_app(opened, store, address=address, credentials=credentials, only_reading=read_only)

    def announce(url: str) -> None:
        kept = "1 study" if count == 1 else f"{count} studies"
        manner = ", read-only" if read_only else ""
        typer.echo(f"Dashboard of {kept}{manner}: {url}  (Ctrl-C to quit)", err=True)

    serve(app, address, on_ready=announce)
