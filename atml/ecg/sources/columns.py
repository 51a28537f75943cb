"""Columns of a table that is read part by part: numbers as arrays, labels as their changes."""

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
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
        self.starts: list[int] = []  # first row of each text
        self.texts: list[str] = []
        self._rows = 0
        self.add(values)

    def add(self, values: Sequence[Any] | NDArray[Any]) -> None:
        """Append rows."""
        rows = np.asarray(values)
        candidates = np.ones(len(rows), dtype=bool)
        candidates[1:] = rows[1:] != rows[:-1]
        for row in np.flatnonzero(candidates).tolist():
            text = as_text(rows[row])
            if not self.texts or self.texts[-1] != text:
                self.starts.append(self._rows + row)
                self.texts.append(text)
        self._rows += len(rows)

    def __getitem__(self, rows: slice) -> "Labels":
        """Return the texts of consecutive rows."""
        changes = slice(bisect_right(self.starts, rows.start) - 1, bisect_left(self.starts, rows.stop))
        part = Labels()
        part.starts = [max(0, start - rows.start) for start in self.starts[changes]]
        part.texts = self.texts[changes]
        return part


def gathered(
    roles: Iterable[str], parts: Iterable[Mapping[str, Any]]
) -> dict[str, NDArray[np.float64] | Labels]:
    """Return the columns of these roles, which consist of these parts.

    Raises:
        BadRecording: text is where numbers are expected.
    """
    columns: dict[str, array[float] | Labels] = {
        role: Labels() if role in LABELS else array("d") for role in roles
    }
    for part in parts:
        for role, column in columns.items():
            if isinstance(column, Labels):
                column.add(part[role])
            else:
                column.frombytes(as_numbers(part[role]).tobytes())
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
