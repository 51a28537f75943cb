"""Options that several commands share."""

import math
from pathlib import Path
from typing import Annotated

import typer

Storage = Annotated[
    str,
    typer.Option(
        "--storage",
        envvar="ATML_STORAGE",
        metavar="URL",
        help="Database of the studies: sqlite:///FILE or postgresql://USER@HOST/DATABASE.",
    ),
]
Artifacts = Annotated[
    str,
    typer.Option(
        "--artifacts",
        envvar="ATML_ARTIFACTS",
        metavar="PLACE",
        help="Where trials keep their files: a folder, or s3://BUCKET/PREFIX.",
    ),
]
Workers = Annotated[
    int, typer.Option("--workers", "-w", min=1, help="Worker processes; the cores are divided among them.")
]
Device = Annotated[
    str, typer.Option("--device", metavar="NAME", help="auto (CUDA if available), cpu, cuda or cuda:N.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for scripts.")]
Extend = Annotated[
    bool, typer.Option("--extend", help="Continue a study even if its spec's budget or targets have changed.")
]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Leave broken segment files out instead of refusing.")
]
Train = Annotated[
    Path | None,
    typer.Option("--train", metavar="DIR", help="Training segments; overrides data.train of the spec."),
]
Test = Annotated[
    Path | None,
    typer.Option(
        "--test",
        metavar="DIR",
        help="Segments of other subjects; used once, at the end, never by a search.",
    ),
]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for bundles.")]


def a_number(value: float | None) -> float | None:
    """Refuse NaN, which passes any minimum or maximum."""
    if value is not None and math.isnan(value):
        raise typer.BadParameter("must be a number but got nan")
    return value
