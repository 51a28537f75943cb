"""One C function for all nodes that differ only in numbers.

The generator writes a function for every node, with its shapes as constants. Functions whose text differs
only in some integers become one with these as parameters, which for a network of many equal layers saves
most of the code.
"""

import re
from collections import defaultdict
from collections.abc import Sequence

from atml.export.c.generator import Function

# 0 and 1 stay: a kernel of length 1 or no padding makes a loop or a check disappear.
_INTEGER = re.compile(r"(?<![\w.])(?:[2-9]|[1-9]\d+)(?![\w.])")
# With a parameter for its size, an array on the stack would have a size that no compiler knows.
_ARRAY = re.compile(r"^\s+float \w+(\[\w+\])+( =|;)", re.MULTILINE)


class Shared:
    """C functions without repetitions, and how each node calls its own."""

    def __init__(self, functions: Sequence[Function]) -> None:
        """Join the functions of all nodes."""
        alike: dict[str, list[Function]] = defaultdict(list)
        for one in functions:
            text = one.text.replace(f" {one.name}(", f" {one.operator}(", 1)
            alike[text if _ARRAY.search(text) else _INTEGER.sub("#", text)].append(one)
        self.texts: list[str] = []
        self._calls: dict[str, tuple[str, tuple[str, ...]]] = {}
        for number, group in enumerate(alike.values(), start=1):
            self._join(f"{group[0].operator}_{number}", group)

    def call(self, function: Function, arguments: Sequence[str]) -> str:
        """Return a call of a node's function."""
        name, numbers = self._calls[function.name]
        return f"{name}({', '.join((*numbers, *arguments))});"

    def _join(self, name: str, group: Sequence[Function]) -> None:
        rows = [_INTEGER.findall(_anonymous(one)) for one in group]
        columns = list(zip(*rows, strict=True))
        varying = list(dict.fromkeys(column for column in columns if len(set(column)) > 1))
        parameters = {column: f"n{index}" for index, column in enumerate(varying)}
        replacements = iter(columns)

        def literal(match: re.Match[str]) -> str:
            return parameters.get(next(replacements), match[0])

        text = _INTEGER.sub(literal, _anonymous(group[0]))
        declared = "".join(f"int {parameter}, " for parameter in parameters.values())
        self.texts.append(text.replace(" (", f" {name}({declared}", 1))
        for one, row in zip(group, rows, strict=True):
            found = dict(zip(columns, row, strict=True))
            self._calls[one.name] = (name, tuple(found[column] for column in varying))


def _anonymous(function: Function) -> str:
    return function.text.replace(f" {function.name}(", " (", 1)
