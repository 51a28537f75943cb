"""`atml doctor`."""

from typing import TYPE_CHECKING

import typer

from atml import defaults
from atml.cli import options
from atml.cli.console import print_json

if TYPE_CHECKING:
    from atml.doctor import Finding


def doctor(
    storage: options.Storage = defaults.STORAGE,
    artifacts: options.Artifacts = defaults.ARTIFACTS,
    as_json: options.Json = False,
) -> None:
    """Check that this machine has what ATML needs, and say what to install.

    It looks at versions, CPU, memory, GPUs, the storage, the artifacts, free disk space, optional packages,
    and the compilers and the emulator for C code. The exit code is 1 only if something essential to a search
    is missing.

    Example:  atml doctor --storage postgresql://me@server/atml
    """
    from atml.doctor import examine

    findings = examine(storage, artifacts)
    ready = all(one.ok or not one.required for one in findings)
    if as_json:
        print_json({"ready": ready, "findings": findings})
    else:
        _print(findings)
        typer.echo("ATML can search here." if ready else "ATML cannot search here yet: see above.")
    if not ready:
        raise typer.Exit(1)


def _print(findings: "list[Finding]") -> None:
    part = None
    for one in findings:
        if one.part != part:
            part = one.part
            typer.echo(part)
        sign = "ok" if one.ok else "MISSING" if one.required else "–"
        typer.echo(f"  {sign:7}  {one.name:18}  {one.found}")
        if not one.ok:
            typer.echo(f"           {'':18}  for {one.needed_for}: {one.advice}")
