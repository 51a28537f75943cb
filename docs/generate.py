"""Writes the reference pages from the code: commands, spec, JSON documents, environment and Python names.

`conf.py` calls `write_reference` before every build, so the pages cannot differ from the code.
"""

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import json_schemas as schemas
import typer.main
from environment_variables import ENVIRONMENT, EXIT_CODES

import atml
from atml.cli.main import app
from atml.tuning.phases import PHASES
from atml.tuning.spec import SEARCHED

Schema = Mapping[str, Any]


def write_reference(folder: Path) -> None:
    """Write all pages into `folder`; unchanged files keep their time, so a second build is short."""
    pages = {
        "commands.md": commands_page(),
        "spec.md": spec_page(),
        "json.md": json_page(),
        "environment.md": environment_page(),
        "python.md": python_page(),
    }
    for name, document in (schemas.COMMANDS | schemas.FILES).items():
        pages[schema_file(name)] = json.dumps(schemas.schema(document), indent=2) + "\n"
    for name in PHASES:
        pages[f"schemas/spec-{name}.schema.json"] = json.dumps(spec_schema(name), indent=2) + "\n"
    for name, text in pages.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


# Commands


def commands() -> Iterator[tuple[str, Any]]:
    """Yield every command with its full name, `data check`."""
    root = typer.main.get_command(app)
    yield from _commands(root, "")


def _commands(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, command in getattr(group, "commands", {}).items():
        if getattr(command, "commands", None) is None:
            yield f"{prefix}{name}", command
        else:
            yield from _commands(command, f"{prefix}{name} ")


def parameters(command: Any) -> list[Any]:
    """Return a command's arguments and options without the hidden ones."""
    return [one for one in command.params if not getattr(one, "hidden", False)]


def commands_page() -> str:
    """Return the page of all commands."""
    root = typer.main.get_command(app)
    lines = ["# Commands", "", "Every command has `--help`, which shows the same.", ""]
    lines += _options_table(parameters(root))
    for name, command in commands():
        lines += [f"## atml {name}", "", *_help(command.help or ""), ""]
        lines += _options_table(parameters(command))
    return "\n".join(lines)


def _help(text: str) -> Iterator[str]:
    """Yield a command's help as Markdown: its paragraphs, and its examples as code."""
    for paragraph in inspect.cleandoc(text).replace("\b\n", "").split("\n\n"):
        if paragraph.lstrip().startswith("Example:"):
            examples = paragraph.replace("Example:", "").strip().splitlines()
            yield "\n".join(["```console", *(f"$ {line.strip()}" for line in examples), "```"])
        else:
            yield cell(re.sub(r"(?<![\w`])(--[a-z][\w-]*|ATML_[A-Z_]+(?:=[\w:]*\w)?)", r"`\1`", paragraph))
        yield ""


def _options_table(options: list[Any]) -> list[str]:
    rows = [(f"`{_usage(one)}`", _option_default(one), _option_help(one)) for one in options]
    return table(("option", "default", "meaning"), rows)


def _usage(option: Any) -> str:
    if option.param_type_name == "argument":
        return str(option.metavar or option.name.upper())
    annotation = option.type_descriptor.annotation
    kind = option.metavar or KINDS.get(annotation, "TEXT")
    return ", ".join([*option.opts, *option.secondary_opts]) + ("" if option.is_flag else f" {kind}")


KINDS = {int: "INTEGER", float: "NUMBER"}


def _option_help(option: Any) -> str:
    text = cell(re.sub(r"(?<![\w`])(--[a-z][\w-]*|\w+://[\w/@:.]*\w)", r"`\1`", option.help or ""))
    low, high = (None if one is None else f"{one:,}" for one in (option.min, option.max))
    if low and high:
        text += f" From {low} to {high}."
    elif low:
        text += f" At least {low}."
    if option.envvar:
        text += f" Environment variable: `{option.envvar}`."
    return text


def _option_default(option: Any) -> str:
    shown, default = getattr(option, "show_default", None), option.default
    if option.required:
        return "required"
    if isinstance(shown, str):
        return shown
    if isinstance(default, bool) and option.secondary_opts:  # --build/--no-build
        return f"`{(option.opts if default else option.secondary_opts)[0]}`"
    if default is None or callable(default) or isinstance(default, bool):
        return ""
    return f"`{default}`"


# Specs


def spec_schema(phase: str) -> dict[str, Any]:
    """Return the JSON schema of a phase's spec, `search` where a spec has it."""
    schema = PHASES[phase].model_json_schema()
    for name in SEARCHED:  # what a spec does not fix
        del schema["$defs"]["TrainingSettings"]["properties"][name]
    fields = schema["properties"]
    first = [name for name in ("phase", "name", "beta", "seed", "base", "data", "search") if name in fields]
    schema["properties"] = {name: fields[name] for name in dict.fromkeys([*first, *fields])}
    return schema


def spec_page() -> str:
    """Return the page of all fields of a spec."""
    joint = dereferenced(spec_schema("joint"))
    lines = [
        "# Fields of a spec",
        "",
        "Unknown fields are refused with a suggestion of the nearest valid name, values that are infinite or",
        "out of range with the field's name. [](../howto/targets.md) explains how a spec is used. JSON",
        "schemas, for editors: "
        + ", ".join(f"[{name}](schemas/spec-{name}.schema.json)" for name in PHASES)
        + ". The fields below are those of a joint search and, unless stated below, of the other phases.",
        "",
    ]
    top = {name: one for name, one in joint["properties"].items() if not is_table(one)}
    lines += table(SPEC_COLUMNS, spec_rows({"properties": top, "required": joint["required"]}))
    for name, one in joint["properties"].items():
        if is_table(one):
            lines += [f"## [{name}]", "", section_text(one), ""]
            lines += table(SPEC_COLUMNS, spec_rows(one))
    for number, phase in enumerate((one for one in PHASES if one != "joint"), start=1):
        lines += _phase(number, phase)
    return "\n".join(lines)


HIGHEST_SHOWN = 10**7  # higher limits only keep figures from overflowing
SPEC_COLUMNS = ("field", "values", "default", "meaning")


def _phase(number: int, phase: str) -> list[str]:
    """Return what differs from a joint search."""
    own = dereferenced(spec_schema(phase))
    common = {*every_row("joint")}
    different = [row for row in every_row(phase) if row not in common]
    summary = own["properties"]["phase"]["description"]
    return [f'## Phase {number}: phase = "{phase}"', "", summary, "", *table(SPEC_COLUMNS, different)]


def every_row(phase: str) -> list[tuple[str, ...]]:
    """Return the rows of all fields of a phase's spec."""
    return spec_rows(dereferenced(spec_schema(phase)))


def spec_rows(section: Schema, prefix: str = "") -> list[tuple[str, ...]]:
    """Return a row for every field of a table, with those of the tables in it."""
    rows: list[tuple[str, ...]] = []
    for name, field in section["properties"].items():
        if is_table(field):
            rows += spec_rows(field, prefix=f"{prefix}{name}.")
        else:
            rows.append(_row(f"{prefix}{name}", field, name in section.get("required", ())))
    return rows


def _row(name: str, field: Schema, required: bool) -> tuple[str, ...]:
    default = "required" if required else toml(field.get("default"))
    return (f"`{name}`", values(field), default, cell(field.get("description", "")))


def is_table(field: Schema) -> bool:
    """Whether a field is a table of the spec."""
    return "properties" in field


def section_text(section: Schema) -> str:
    """Return what a table is for."""
    return str(section.get("section") or section.get("description", ""))


def toml(value: Any) -> str:
    """Return a default as TOML writes it."""
    if value is None:
        return ""
    return f"`{json.dumps(value)}`"


def values(field: Schema) -> str:
    """Return the values that a field takes, in words."""
    options = [one for one in field.get("anyOf", [field]) if one.get("type") != "null"]
    return " or ".join(_values(one) for one in options)


def _values(one: Schema) -> str:
    if "const" in one:
        return f"`{json.dumps(one['const'])}`"
    if "enum" in one:
        return ", ".join(f"`{json.dumps(value)}`" for value in one["enum"])
    if one.get("type") == "array":
        return f"list of {_values(one['items'])}"
    limits = [
        (one.get("minimum"), "≥"),
        (one.get("exclusiveMinimum"), ">"),
        (one.get("maximum"), "≤"),
        (one.get("exclusiveMaximum"), "<"),
    ]
    shown = [f"{sign} {limit:,}" for limit, sign in limits if limit is not None and limit < HIGHEST_SHOWN]
    kind = {"boolean": "true, false"}.get(one.get("type", ""), one.get("type", ""))
    return ", ".join([str(kind), *shown])


def dereferenced(schema: Schema) -> dict[str, Any]:
    """Return a JSON schema with every reference replaced by what it refers to."""

    def resolve(part: Any) -> Any:
        if isinstance(part, list):
            return [resolve(one) for one in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            target = schema["$defs"][part["$ref"].removeprefix("#/$defs/")]
            return resolve({**target, "section": target.get("description"), **_without_ref(part)})
        return {name: resolve(one) for name, one in part.items() if name != "$defs"}

    resolved: dict[str, Any] = resolve(dict(schema))
    return resolved


def _without_ref(part: Schema) -> dict[str, Any]:
    return {name: value for name, value in part.items() if name != "$ref"}


# JSON documents


def schema_file(name: str) -> str:
    """Return the file of a document's JSON schema."""
    return f"schemas/{name.replace(' ', '-').removesuffix('.json')}.schema.json"


def documents() -> dict[str, Schema]:
    """Return the schema of every object in a document, by its name."""
    found: dict[str, Schema] = {}
    for document in (schemas.COMMANDS | schemas.FILES).values():
        schema = schemas.schema(document)
        if "properties" in schema:
            found.setdefault(schema["title"], schema)
        for name, part in schema.get("$defs", {}).items():
            found.setdefault(name, part)
    return found


def json_page() -> str:
    """Return the page of all JSON documents."""
    lines = [
        "# JSON documents",
        "",
        "With `--json` a command prints one document to standard output; progress and messages go to",
        "standard error. Every field is present in each document; those that may be unknown are null then.",
        "Numbers are finite.",
        "",
    ]
    rows = [(f"`atml {name} --json`", *_document_cells(name, one)) for name, one in schemas.COMMANDS.items()]
    rows += [(f"`{name}` of a bundle", *_document_cells(name, one)) for name, one in schemas.FILES.items()]
    lines += table(("document", "type", "JSON schema"), rows)
    for name, schema in sorted(documents().items()):
        lines += [f"({anchor(name)})=", f"## {title(name)}", "", schema.get("description", ""), ""]
        fields = [
            (f"`{field}`", json_type(one), cell(one.get("description", "")))
            for field, one in schema["properties"].items()
        ]
        lines += table(("field", "type", "meaning"), fields)
    return "\n".join(lines)


def _document_cells(name: str, document: Any) -> tuple[str, str]:
    schema = schemas.schema(document)
    kind = (
        json_type(schema) if "items" in schema else f"[{title(schema['title'])}](#{anchor(schema['title'])})"
    )
    return kind, f"[{Path(schema_file(name)).name}]({schema_file(name)})"


def title(name: str) -> str:
    """Return the title of an object, `Size` for `SizeDocument`."""
    return name.removesuffix("Document")


def anchor(name: str) -> str:
    """Return the anchor of an object on the page."""
    return f"json-{title(name).lower()}"


def json_type(field: Schema) -> str:
    """Return the type of a field in words, with links to objects."""
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{title(name)}](#{anchor(name)})"
    if "anyOf" in field:
        return " or ".join(json_type(one) for one in field["anyOf"])
    if "enum" in field:
        return ", ".join(f"`{json.dumps(value)}`" for value in field["enum"])
    if "prefixItems" in field:
        return f"[{', '.join(json_type(one) for one in field['prefixItems'])}]"
    if field.get("type") == "array":
        return f"array of {json_type(field['items'])}"
    if isinstance(field.get("additionalProperties"), dict):
        return f"object: name → {json_type(field['additionalProperties'])}"
    return str(field.get("type", "any"))


# Environment and Python


def environment_page() -> str:
    """Return the page of environment variables and exit codes."""
    variables = [(f"`{name}`", cell(meaning)) for name, meaning in ENVIRONMENT.items()]
    codes = [(f"`{code}`", cell(meaning)) for code, meaning in EXIT_CODES.items()]
    return "\n".join(
        [
            "# Environment and exit codes",
            "",
            "## Environment variables",
            "",
            "An option on the command line takes precedence.",
            "",
            *table(("variable", "meaning"), variables),
            "## Exit codes",
            "",
            *table(("code", "meaning"), codes),
            "SIGTERM, which service managers send, and SIGHUP, the end of a terminal, do what Ctrl-C does: a",
            "worker finishes its epoch and queues its trial again. On SIGTERM the dashboard exits with 0.",
            "",
        ]
    )


def python_page() -> str:
    """Return the page of all public names."""
    lines = ["# Python", "", *PYTHON_INTRODUCTION, ""]
    names = list(atml.__all__)
    functions = [name for name in names if inspect.isfunction(getattr(atml, name))]
    for heading, group in (
        ("Functions", functions),
        ("Classes", [name for name in names if name not in functions]),
    ):
        lines += [f"## {heading}", ""]
        for name in group:
            kind, members = "autofunction", []
            if name not in functions:
                kind, members = "autoclass", ["   :members:"]
                if all(one.__module__.startswith("atml.") for one in getattr(atml, name).__mro__[:-1]):
                    members += ["   :inherited-members:"]  # those of other libraries are no part of it
            lines += [f"### {name}", "", "```{eval-rst}", f".. {kind}:: atml.{name}", *members, "```", ""]
    return "\n".join(lines)


PYTHON_INTRODUCTION = [
    "`import atml` gives the names on this page; each is imported on first use, so `import atml` alone is",
    "fast. [](../howto/python.md) shows them at work.",
]


# Markdown


def table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """Return a table."""
    if not rows:
        return []
    lines = [columns, tuple("---" for _ in columns), *rows]
    return [*(f"| {' | '.join(cells)} |" for cells in lines), ""]


def cell(text: str) -> str:
    """Return a text on one line, with the signs escaped that Markdown would read, except in code."""
    parts = re.split(r"(`[^`]*`)", " ".join(text.split()))
    return "".join(
        part.replace("|", "\\|") if part.startswith("`") else re.sub(r"([|<>*_\[\]])", r"\\\1", part)
        for part in parts
    )
