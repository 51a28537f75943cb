"""`atml verify`."""

from pathlib import Path
from typing import Annotated

import typer

from atml.cli import options
from atml.cli.console import print_json


def verify(
    bundle: Annotated[Path, typer.Argument(help="The bundle's folder.")],
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="The test segments, to compute the test metrics again."),
    ] = None,
    build: Annotated[
        bool, typer.Option("--build/--no-build", help="Build the C code and run its self-test.")
    ] = True,
    skip_bad: options.SkipBad = False,
    as_json: options.Json = False,
) -> None:
    """Check that a bundle is complete and unchanged, and that its models still give the same answers.

    It checks the files' checksums, that no subject is in both training and test, the ONNX files, that ONNX
    Runtime and PyTorch compute the logits that are stored with the bundle, and that the C code is what the
    model generates and passes its self-test here and on an emulated Cortex-M4F. Missing tools are named. The
    exit code is 1 if a check fails.

    Example:  atml verify results/ecm/8KB-dscnn-trial64 --data data/iesd/test
    """
    from atml import api
    from atml.cli.console import next_step, out
    from atml.cli.display import Terminal
    from atml.cli.tables import new_table

    checks = api.verify(bundle, data, build=build, skip_bad=skip_bad, watch=Terminal())
    if as_json:
        print_json({"checks": checks})
    else:
        table = new_table(str(bundle), "check", "result", "detail")
        for check in checks:
            style = {"failed": "bold red", "skipped": "dim"}.get(check.result)
            table.add_row(check.name, check.result, check.detail, style=style)
        out().print(table)
    if any(check.result == "failed" for check in checks):
        raise typer.Exit(1)
    if not as_json:
        next_step(f"atml export-c {bundle} --out firmware --check")
