"""One C function for all nodes that differ only in numbers.

The generator writes a function for every node, with its shapes as constants. Functions whose text differs
only in some integers become one with these as parameters, which for a network of many equal layers saves
most of the code.
"""

import re
from collections import defaultdict
from collections.abc import Sequence

from atml.export.c.generator import Call

# 0 and 1 stay: a kernel of length 1 or no padding makes a loop or a check disappear.
_INTEGER = re.compile(r"(?<![\w.])(?:[2-9]|[1-9]\d+)(?![\w.])")
# With a parameter for its size, an array on the stack would have a size that no compiler knows.
_ARRAY = re.compile(r"^\s+float \w+(\[\w+\])+( =|;)", re.MULTILINE)


def shared(calls: Sequence[Call]) -> tuple[list[str], dict[str, tuple[str, ...]]]:
    """Return the functions of all calls without repetitions, and what to call instead of each.

    By the text of a function, that is a name and the numbers that come before the arguments.
    """
    alike: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        text = call.function
        alike[text if _ARRAY.search(text) else _INTEGER.sub("#", text)].append(call)
    texts: list[str] = []
    callees: dict[str, tuple[str, ...]] = {}
    for number, group in enumerate(alike.values(), start=1):
        text, found = _joined(group[0].operator, number, [call.function for call in group])
        texts.append(text)
        callees |= found
    return texts, callees


def _joined(operator: str, number: int, functions: Sequence[str]) -> tuple[str, dict[str, tuple[str, ...]]]:
    """Return one function, and its name and numbers for each of `functions`."""
    rows = [_INTEGER.findall(one) for one in functions]
    columns = list(zip(*rows, strict=True))
    varying = list(dict.fromkeys(column for column in columns if len(set(column)) > 1))
    parameters = {column: f"n{index}" for index, column in enumerate(varying)}
    replacements = iter(columns)
    text = _INTEGER.sub(lambda match: parameters.get(next(replacements), match[0]), functions[0])
    name = f"{operator}_{number}"
    declared = "".join(f"int {parameter}, " for parameter in parameters.values())
    callees = {
        one: (name, *(row[columns.index(column)] for column in varying))
        for one, row in zip(functions, rows, strict=True)
    }
    return text.replace(f" {operator}(", f" {name}({declared}", 1), callees
