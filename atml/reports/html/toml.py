"""A study's stored spec as TOML, for `atml search`."""

import json
from collections.abc import Mapping
from typing import Any


def spec_as_toml(spec: Mapping[str, Any]) -> str:
    """Return a spec of strings, numbers, booleans, lists and tables as TOML.

    TOML has no null: such fields are left out and named in a comment. The folder of the training segments
    is left out too, since `--train` gives it.
    """
    data = {name: value for name, value in spec["data"].items() if name != "train"}
    return "\n".join(_table({**spec, "data": data}, ())).strip() + "\n"


def _table(table: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    lines = ["", f"[{'.'.join(path)}]"] if path else []
    inner = {name: value for name, value in table.items() if isinstance(value, Mapping)}
    for name, value in table.items():
        if value is None:
            lines.append(f"# {name} is not set")
        elif name not in inner:
            # JSON strings, numbers, booleans and lists are TOML as well.
            lines.append(f"{name} = {json.dumps(value, ensure_ascii=False)}")
    for name, value in inner.items():
        lines += _table(value, (*path, name))
    return lines
