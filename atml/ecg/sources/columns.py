"""Columns of a table that is read part by part: numbers in a temporary file, labels as their changes."""

import re
import tempfile
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atml.errors import BadRecording
from atml.files import cannot_write

LABELS = ("rhythm", "subject", "record")  # the other roles are numbers
MISSING = frozenset(("", "NA", "N/A", "n/a", "<NA>", "NaN", "nan", "NULL", "null", "None"))  # as R and pandas
PART_ROWS = 1 << 16
_WHOLE = re.compile(r"([+-]?[0-9]+)\.0+")
_IN_MEMORY_BYTES = 1 << 26  # longer columns are written to the disk
_BYTES = np.dtype(np.float64).itemsize


class Numbers:
    """A column of numbers, of which only the parts that are asked for are read."""

    def __init__(self) -> None:
        self.file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115  (`gathered` closes)
        self._rows = 0

    def add(self, values: Any) -> None:
        """Append rows.

        Raises:
            BadRecording: they are no numbers.
            CannotWrite: the disk of temporary files is full.
        """
        numbers = as_numbers(values)
        try:
            self.file.write(numbers.tobytes())
        except OSError as error:
            advice = "make room there, or name another folder in TMPDIR"
            raise cannot_write(tempfile.gettempdir(), error, advice=advice) from None
        self._rows += len(numbers)

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, part: slice, /) -> NDArray[np.float64]:
        start, end, _ = part.indices(self._rows)
        self.file.seek(start * _BYTES)
        return np.frombuffer(self.file.read(max(0, end - start) * _BYTES))


class Labels:
    """A column of texts, kept as the rows at which it changes."""

    def __init__(self, values: Sequence[Any] | NDArray[Any] = ()) -> None:
        self._starts: list[int] = []
        self._texts: list[str] = []
        self._rows = 0
        self.add(values)

    def add(self, values: Sequence[Any] | NDArray[Any]) -> None:
        """Append rows."""
        array = np.asarray(values)
        candidates = np.ones(len(array), dtype=bool)
        candidates[1:] = array[1:] != array[:-1]
        for row in np.flatnonzero(candidates).tolist():
            text = as_text(array[row])
            if not self._texts or self._texts[-1] != text:
                self._starts.append(self._rows + row)
                self._texts.append(text)
        self._rows += len(array)

    def __len__(self) -> int:
        return self._rows

    def at(self, row: int) -> str:
        """Return the text of a row."""
        return self._texts[bisect_right(self._starts, row) - 1]

    def changes(self, start: int, end: int) -> Iterator[int]:
        """Yield `start`, and the rows after it and before `end` whose text is another than before."""
        yield start
        yield from self._starts[bisect_right(self._starts, start) : bisect_right(self._starts, end - 1)]


@contextmanager
def gathered(
    roles: Iterable[str], parts: Iterable[Mapping[str, Any]]
) -> Iterator[dict[str, Numbers | Labels]]:
    """Yield the columns that consist of these parts; they can be read within the block."""
    with ExitStack() as stack:
        columns: dict[str, Numbers | Labels] = {}
        for role in roles:
            columns[role] = column = Labels() if role in LABELS else Numbers()
            if isinstance(column, Numbers):
                stack.callback(column.file.close)
        for part in parts:
            for role, values in part.items():
                columns[role].add(values)
        yield columns


def as_numbers(values: Any) -> NDArray[np.float64]:
    """Return values as numbers, missing ones as NaN.

    Raises:
        BadRecording: they are no numbers.
    """
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise BadRecording("holds text where numbers are expected; see --columns") from None


def as_text(value: Any) -> str:
    """Return a label as text: 1.0 and "1.0" as "1", a missing one as ""."""
    value = value.item() if isinstance(value, np.generic | np.ndarray) else value
    if value is None or value != value:  # NaN
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)).strip()
    # Tables with missing values have whole numbers as 1.0, and others the same ones as 1.
    whole = _WHOLE.fullmatch(text)
    return "" if text in MISSING else whole[1] if whole else text
