"""Tables of results."""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from rich.table import Table

Row = TypeVar("Row")
# Headings of the columns that hold words; the others are right-aligned.
WORDS = {
    *("", "architecture", "best within", "check", "class", "detail", "device", "host"),
    *("last seen", "metric", "phase", "result", "rhythm", "state", "study", "subject", "targets"),
}


def new_table(title: str, *headings: str) -> Table:
    """Return an empty table."""
    # At least as wide as its title, which rich would break otherwise.
    table = Table(title=title, title_justify="left", title_style="bold", min_width=len(title) + 4)
    for name in headings:
        table.add_column(name, justify="left" if name in WORDS else "right")
    return table


def table_of(
    title: str,
    rows: Iterable[Row],
    columns: Mapping[str, Callable[[Row], str]],
    *,
    is_bold: Callable[[Row], bool] = lambda _row: False,
) -> Table:
    """Return a table; `columns` maps each heading to what a row shows below it."""
    table = new_table(title, *columns)
    for row in rows:
        cells = [show(row) for show in columns.values()]
        table.add_row(*cells, style="bold" if is_bold(row) else None)
    return table
