"""Columns of a table that is read part by part: numbers as arrays, labels as their changes."""

import re
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atml.errors import BadRecording

LABELS = ("rhythm", "subject", "record")  # the other roles are numbers
MISSING = frozenset(("", "NA", "N/A", "n/a", "<NA>", "NaN", "nan", "NULL", "null", "None"))  # as R and pandas
PART_ROWS = 1 << 16
_WHOLE = re.compile(r"([+-]?[0-9]+)\.0+")


class Labels:
    """A column of texts, kept as the rows at which it changes."""

    def __init__(self, values: Sequence[Any] | NDArray[Any] = ()) -> None:
        self._starts: list[int] = []
        self._texts: list[str] = []
        self._rows = 0
        self.add(values)

    def add(self, values: Sequence[Any] | NDArray[Any]) -> None:
        """Append rows."""
        rows = np.asarray(values)
        candidates = np.ones(len(rows), dtype=bool)
        candidates[1:] = rows[1:] != rows[:-1]
        for row in np.flatnonzero(candidates).tolist():
            text = as_text(rows[row])
            if not self._texts or self._texts[-1] != text:
                self._starts.append(self._rows + row)
                self._texts.append(text)
        self._rows += len(rows)

    def __len__(self) -> int:
        return self._rows

    def at(self, row: int) -> str:
        """Return the text of a row."""
        return self._texts[bisect_right(self._starts, row) - 1]

    def changes(self, start: int, end: int) -> Iterator[int]:
        """Yield `start`, and the rows after it and before `end` whose text is another than before."""
        yield start
        yield from self._starts[bisect_right(self._starts, start) : bisect_right(self._starts, end - 1)]


def gathered(
    roles: Iterable[str], parts: Iterable[Mapping[str, Any]]
) -> dict[str, NDArray[np.float64] | Labels]:
    """Return the columns that consist of these parts.

    Raises:
        BadRecording: text is where numbers are expected.
    """
    columns: dict[str, array[float] | Labels] = {
        role: Labels() if role in LABELS else array("d") for role in roles
    }
    for part in parts:
        for role, values in part.items():
            column = columns[role]
            if isinstance(column, Labels):
                column.add(values)
            else:
                column.frombytes(as_numbers(values).tobytes())
    return {role: one if isinstance(one, Labels) else np.asarray(one) for role, one in columns.items()}


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
