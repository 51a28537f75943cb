"""What imported segments were made of: `provenance.json`, and `segments.csv` with each segment's time."""

import csv
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from atml.ecg.segment import SegmentName
from atml.errors import DataError
from atml.files import write_text

# Neither name is that of a segment, so that whoever reads the directory ignores them.
PROVENANCE, INDEX = "provenance.json", "segments.csv"
SOURCE = "source.json"  # beside recordings that `atml data fetch` has downloaded
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class IndexedSegment:
    """Where a segment comes from."""

    file: str  # S12-AFIB-0.txt
    record: str
    start_seconds: float  # since the recording's beginning
    rhythm: str  # of the source, by `rhythm_code`; a segment's file name says AFIB for all rhythms to find
    # Number of the uninterrupted part of the record that it lies in: no gap is between two segments of one.
    part: int | None = None  # None if an earlier version of ATML imported it


def place_of(file: str) -> tuple[str, str]:
    """Return the subject and index in a segment's name, which keep when its rhythm is corrected."""
    name = SegmentName.parse(file)
    return name.subject, name.index


def write_index(directory: Path, segments: Iterable[IndexedSegment]) -> None:
    """Write `segments.csv`; records in the order in which they were read, segments in order of time."""
    with (directory / INDEX).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", "record", "start_seconds", "rhythm", "part"])
        for one in segments:
            writer.writerow([one.file, one.record, f"{one.start_seconds:.4f}", one.rhythm, one.part])


def read_index(directory: str | Path) -> tuple[IndexedSegment, ...]:
    """Return the segments of an imported directory in order of record and time; none if it was not imported.

    Raises:
        DataError: `segments.csv` is damaged.
    """
    path = Path(directory) / INDEX
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return tuple(
                IndexedSegment(
                    file=row["file"],
                    record=row["record"],
                    start_seconds=float(row["start_seconds"]),
                    rhythm=row["rhythm"],
                    part=int(row["part"]) if row.get("part") else None,
                )
                for row in csv.DictReader(file)
            )
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read ({error}); import the recordings again.") from None


def write_provenance(directory: Path, document: dict[str, Any]) -> None:
    """Write `provenance.json`."""
    text = json.dumps({"format": FORMAT, **document}, indent=2, ensure_ascii=False)
    (directory / PROVENANCE).write_text(text + "\n", encoding="utf-8")


def read_provenance(directory: str | Path) -> dict[str, Any] | None:
    """Return the provenance of an imported directory; `None` if it was not imported.

    Raises:
        DataError: `provenance.json` is damaged.
    """
    return _read_json(Path(directory) / PROVENANCE, "import the recordings again")


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where recordings come from."""

    origin: str
    licence: str
    citation: str = ""
    subject_pattern: str | None = None
    complete: bool = True  # whether the download has finished

    def write(self, directory: Path) -> None:
        """Write it beside the recordings."""
        write_text(directory / SOURCE, json.dumps(asdict(self), indent=2) + "\n")


def read_source(path: Path) -> Source | None:
    """Return what `atml data fetch` has written beside recordings, or into the folder above.

    Raises:
        DataError: it is damaged, or the download is not complete.
    """
    for directory in (path, path.parent):
        try:
            fields = _read_json(directory / SOURCE, "fetch the recordings again")
        except DataError:
            if directory == path:
                raise
            continue  # the folder above may be that of another program
        if fields is not None and {"origin", "licence"} <= fields.keys():
            known = {name: fields[name] for name in Source.__dataclass_fields__ if name in fields}
            if not known.get("complete", True):
                raise DataError(
                    f"the download in {directory} is not complete; run `atml data fetch` again to finish it."
                )
            return Source(**known)
    return None


def _read_json(path: Path, advice: str) -> dict[str, Any] | None:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read ({error}); {advice}.") from None
    if not isinstance(fields, dict):
        raise DataError(f"{path} is not a JSON object; {advice}.")
    return fields
