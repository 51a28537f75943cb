"""Arguments and options that several commands share."""

import re
from pathlib import Path
from typing import Annotated

import typer

from atml import defaults

MOST_PROCESSES = 1024  # of one machine, or threads of one process

Study = Annotated[str, typer.Argument(help="Name of the study.")]
Spec = Annotated[Path, typer.Argument(help="Study spec, a TOML file; see `atml specs list`.")]
Model = Annotated[Path, typer.Argument(help="A bundle's folder or an ONNX file.")]
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
    int,
    typer.Option(
        "--workers",
        "-w",
        min=1,
        max=MOST_PROCESSES,
        show_default=f"one per core, at most {defaults.MOST_WORKERS}",
        help="Worker processes, each with one thread.",
    ),
]
Device = Annotated[
    str, typer.Option("--device", metavar="NAME", help="auto (CUDA if available), cpu, cuda or cuda:N.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for scripts.")]
Extend = Annotated[
    bool,
    typer.Option(
        "--extend",
        help="Continue a study even if budget, finalize or targets of its spec have changed (but not size_of "
        "or the limits).",
    ),
]
CheckTargets = Annotated[
    bool,
    typer.Option(
        "--check-targets",
        help="Exit with 3 if the study has ended without meeting its targets, with 4 if it has not ended.",
    ),
]
SkipBad = Annotated[
    bool,
    typer.Option("--skip-bad", help="Leave out broken segment files instead of refusing the directory."),
]
Lead = Annotated[
    str | None, typer.Option("--lead", metavar="LEAD", help="Name or number (from 0) of the channel.")
]
Rate = Annotated[
    float | None,
    typer.Option("--rate", metavar="HZ", help="Sampling rate of tables and segment directories."),
]
SourceFormat = Annotated[
    str | None,
    typer.Option("--format", help="wfdb, edf, csv, npz, parquet or segments; else recognised."),
]
Train = Annotated[
    Path | None,
    typer.Option("--train", metavar="DIR", help="Training segments; overrides data.train of the spec."),
]
MovedTrain = Annotated[
    Path | None,
    typer.Option(
        "--train",
        metavar="DIR",
        help="Where the study's training segments are, if not where they were; others are refused.",
    ),
]
Test = Annotated[
    Path | None,
    typer.Option(
        "--test",
        metavar="DIR",
        help="Segments of other subjects, never used by a search; each shipped model is tested on them once.",
    ),
]
Sizes = Annotated[
    str | None,
    typer.Option(
        "--sizes",
        metavar="SIZE,…",
        help="Ship the best model within each size, such as 2KB,4KB; overrides finalize.sizes.",
    ),
]
SearchedSizes = Annotated[
    str | None,
    typer.Option(
        "--sizes",
        metavar="SIZE,…",
        help="Also search these sizes, such as 2KB,4KB (added to search.sizes), and ship the best model "
        "within each; overrides finalize.sizes.",
    ),
]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for bundles.")]


def in_bytes(sizes: str | None) -> tuple[int, ...] | None:
    """Return the bytes of `2KB,4000,…`; 1 KB is 1000 bytes."""
    return None if sizes is None else tuple(_bytes(text.strip()) for text in sizes.split(","))


def _bytes(text: str) -> int:
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)\s*(kb|b|)", text, re.IGNORECASE)
    count = round(float(found[1]) * (1000 if found[2].lower() == "kb" else 1)) if found else 0
    if count < 1:
        raise typer.BadParameter(f"--sizes takes sizes such as 2KB,4KB or 2000,4000 but got {text[:40]!r}")
    return count


def pairs(text: str | None) -> dict[str, str]:
    """Return `signal=ecg,rhythm=label` as a dictionary."""
    found = [pair.partition("=") for pair in (text or "").split(",") if pair.strip()]
    wrong = [name for name, sign, value in found if not (name.strip() and sign and value.strip())]
    if wrong:
        raise typer.BadParameter(f"--columns takes ROLE=NAME,… as signal=ecg,rhythm=label but got {text!r}")
    return {name.strip(): value.strip() for name, _, value in found}
