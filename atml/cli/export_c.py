"""`atml export-c`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atml.cli import options
from atml.cli.console import print_json

if TYPE_CHECKING:
    from atml.export.c import CCheck


def export_c(
    model: options.Model,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the C files.")] = Path("ecm"),
    check: Annotated[
        bool,
        typer.Option("--check", help="Build it, run its self-test and measure flash, RAM and instructions."),
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Write a model as C99 code for a microcontroller.

    Of a bundle's models it takes model.int8.onnx if there is one. The folder gets ecm.c, ecm.h,
    ecm_selftest.c and a Makefile; files of these names that ATML did not write are not replaced. --check runs
    the self-test on this machine and on an emulated Cortex-M4F, as far as the tools for it are installed.

    Example:  atml export-c results/ecm/8KB-simple_resnet-trial26 --out firmware/ecm --check
    """
    from atml.cli.console import err, next_step
    from atml.export.c import CCheck, check_c, write_c
    from atml.reports.c_files import c_sources

    sources = c_sources(model)
    write_c(sources, out)
    checked = check_c(sources, progress=lambda text: err().print(f"{text} …")) if check else None
    if as_json:
        facts = checked or CCheck(onnx_bytes=sources.onnx_bytes, memory_bytes=sources.memory_bytes)
        print_json({"files": [out / name for name in sources.files], **vars(facts)})
        return
    if checked:
        _print_check(checked)
    typer.echo(f"{out}: {', '.join(sources.files)}; {sources.memory_bytes:,} bytes of memory")
    next_step(f"make -C {out}" if checked else "the same command with --check measures the code")


def _print_check(checked: "CCheck") -> None:
    """Print what was measured, and what is missing to measure the rest."""
    from atml.cli.console import out
    from atml.cli.tables import new_table
    from atml.export.c import tools

    target = checked.target
    table = new_table("C code on an emulated Cortex-M4F, -Os", "", "")
    rows = {
        "ONNX bytes": f"{checked.onnx_bytes:,}",
        "flash bytes: code and constants": f"{target.flash_bytes:,}" if target else "–",
        "RAM bytes: memory and stack": f"{target.ram_bytes:,}" if target else "–",
        "  of which memory, including the segment": f"{checked.memory_bytes:,}",
        "instructions for one segment": f"{target.instructions:,}" if target else "–",
        "largest difference of logits": _difference(target.difference if target else None),
        "  on this machine": _difference(checked.host_difference),
    }
    for name, value in rows.items():
        table.add_row(name, value)
    out().print(table)
    if checked.missing_packages:
        out().print(f"  for the rest: {tools.advice(checked.missing_packages)}")


def _difference(value: float | None) -> str:
    return "–" if value is None else f"{value:.1e}"
