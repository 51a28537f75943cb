"""`atml specs`: the specs that ship with ATML."""

import tomllib
from pathlib import Path
from typing import Annotated

import typer

from atml import defaults
from atml.cli import options
from atml.cli.console import print_json

specs_app = typer.Typer(
    name="specs",
    help="List, show or copy the study specs that ship with ATML.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a spec; see `atml specs list`.")]


@specs_app.command("list")
def list_specs(as_json: options.Json = False) -> None:
    """List the specs: name, and what each is for.

    Example:  atml specs list
    """
    from atml.cli.console import next_step

    rows = [{"name": name, "description": _description(path)} for name, path in _specs().items()]
    if as_json:
        print_json(rows)
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        typer.echo(f"{row['name']:{width}}  {row['description']}")
    next_step("atml specs copy joint specs")


@specs_app.command()
def show(name: Name) -> None:
    """Print a spec.

    Example:  atml specs show joint
    """
    typer.echo(_find(name).read_text(encoding="utf-8"), nl=False)


@specs_app.command()
def copy(
    name: Name,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to copy it into.")] = Path(),
) -> None:
    """Copy a spec into DIR, to change it. An existing file is not replaced.

    Example:  atml specs copy joint studies
    """
    from atml.errors import SpecError
    from atml.files import make_folder, write_whole

    source = _find(name)
    target = directory / f"{name.removesuffix('.toml')}.toml"
    if target.exists():
        raise SpecError(f"{target} exists already; move it, or name another folder")
    make_folder(target.parent)
    write_whole(target, source.read_bytes())
    phase = tomllib.loads(source.read_text(encoding="utf-8"))["phase"]
    option = {"architecture": "--phase1", "width": "--phase2"}.get(phase, "--spec")
    typer.echo(f"{target}: edit it, then run `atml run {option} {target} --train DIR`")


def _specs() -> dict[str, Path]:
    """Return the path of each spec by its name."""
    folder = defaults.specs_folder()
    return {
        path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.toml"))
    }


def _find(name: str) -> Path:
    from atml.errors import SpecError

    specs = _specs()
    found = specs.get(name.removesuffix(".toml"))
    if found is None:
        raise SpecError(f"no spec named {name!r} ships with ATML; there are {', '.join(specs)}")
    return found


def _description(path: Path) -> str:
    """Return the comment on the first line."""
    return path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("#").strip()
