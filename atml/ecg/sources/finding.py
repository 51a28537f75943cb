"""Which recordings a path holds, and who reads them."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from atml.ecg.provenance import INDEX, PROVENANCE
from atml.ecg.segment import GRAMMAR
from atml.ecg.sources import csv_tables, edf, npz, other_segments, parquet, wfdb_records
from atml.ecg.sources.recording import Item, Reading, file_items, load_reader
from atml.ecg.sources.tables import check_columns
from atml.errors import DataError, NoSegments

Find = Callable[[Sequence[Path], Path, Reading], list[Item]]

# Of each format: endings of its files, the optional package that reads them, and what makes items of them.
# In order of preference: directories of WFDB records often hold lists in CSV, too.
FORMATS: dict[str, tuple[tuple[str, ...], str, Find]] = {
    "wfdb": ((".hea",), "wfdb", wfdb_records.find),
    "edf": ((".edf",), "pyedflib", partial(file_items, read=edf.read)),
    "segments": ((".txt",), "", other_segments.find),
    "parquet": ((".parquet",), "pyarrow.parquet", partial(file_items, read=parquet.read)),
    "npz": ((".npz",), "", partial(file_items, read=npz.read)),
    "csv": ((".csv", ".tsv"), "", partial(file_items, read=csv_tables.read)),
}
TABLES = ["parquet", "npz", "csv"]  # what --columns is about
_SEGMENT = re.compile(r"S[0-9]+-.*\.txt")
_DIGITS = re.compile(r"(\d+)")


def find_items(path: Path, format_: str | None, reading: Reading) -> tuple[str, list[Item], tuple[str, ...]]:
    """Return the format of the recordings below a path, the recordings in natural order, and what to check.

    Raises:
        NoSegments: there is nothing of a known format.
        DataError: the path or the format does not exist, or an option or a package is missing.
    """
    if format_ is not None and format_ not in FORMATS:
        raise DataError(f"--format takes one of {', '.join(FORMATS)} but got {format_}")
    found = _files(path)
    names = [format_] if format_ else [*FORMATS]
    if reading.columns:
        names.sort(key=lambda name: name not in TABLES)
    by_format = {name: _of_format(name, found) for name in names}
    chosen = next((name for name, files in by_format.items() if files), None)
    if chosen is not None:
        _check_names(by_format[chosen])
        _, package, find = FORMATS[chosen]
        if chosen in TABLES:
            check_columns(reading)
        if package:
            load_reader(package, f"{chosen} files")
        items = find(sorted(by_format[chosen], key=_natural), path, reading)
        return chosen, items, _left_out(by_format, chosen)
    wanted = ", ".join(_named(name) for name in names)
    asked = "" if format_ is None else f" in the format {format_}"
    raise NoSegments(f"{path} holds no recording{asked}: no file is named {wanted}.")


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise NoSegments(f"{path} does not exist; check the path.")
    below = (file.relative_to(path) for file in path.rglob("*") if file.is_file() and not _is_index(file))
    return [path / file for file in below if not any(part.startswith(".") for part in file.parts)]


def _is_index(file: Path) -> bool:
    """Whether a file is the index of segments that an import has written there."""
    return file.name == INDEX and (file.parent / PROVENANCE).is_file()


def is_recording(path: Path) -> bool:
    """Whether a file's name is that of recordings; text, such as CSV, may be a single segment."""
    endings = {one for name, (own, *_) in FORMATS.items() if name not in ("segments", "csv") for one in own}
    return path.suffix.lower() in endings


def _check_names(files: Sequence[Path]) -> None:
    """Refuse names that are not UTF-8, of which neither a subject nor a list of records can be made."""
    for file in files:
        try:
            str(file).encode()
        except UnicodeEncodeError:
            raise DataError(f"{str(file)!a}: this name is not UTF-8; rename it.") from None


def _named(format_: str) -> str:
    return GRAMMAR if format_ == "segments" else ", ".join(f"*{ending}" for ending in FORMATS[format_][0])


def _of_format(name: str, files: Sequence[Path]) -> list[Path]:
    endings = FORMATS[name][0]
    return [
        file
        for file in files
        if file.suffix.lower() in endings and (name != "segments" or _SEGMENT.fullmatch(file.name))
    ]


def _left_out(by_format: dict[str, list[Path]], chosen: str) -> tuple[str, ...]:
    """Say which formats are not read; lists in CSV are usual beside recordings and segments."""
    expected = (chosen, "csv") if chosen in ("wfdb", "edf", "segments") else (chosen,)
    others = [name for name, files in by_format.items() if files and name not in expected]
    listed = ", ".join(f"{name} ({len(by_format[name])})" for name in others)
    return (
        (f"files of other formats are not read: {listed}; --format names the one to read",) if others else ()
    )


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort key that puts data_9 before data_10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in _DIGITS.split(path.as_posix())]
