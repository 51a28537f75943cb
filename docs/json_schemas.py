"""JSON schemas of the documents that commands print and bundles hold.

They are made from the dataclasses that are printed. The comment `#:` of a field is its description. Every
field of a document is present in each; those that may be unknown are null then.
"""

import inspect
import re
from collections.abc import Mapping
from typing import Any

import plain_documents as plain
from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from sphinx.pycode import ModuleAnalyzer

from atml.cli.documents import models, studies
from atml.ecg.import_writing import Import
from atml.ecg.sources.physionet import Fetched
from atml.ecg.sources.simulator import Simulation
from atml.reports.assessment import Evaluation
from atml.reports.audit import LabelAudit
from atml.reports.mlflow_export import Exported
from atml.reports.segments_page import Contents

# What `atml COMMAND --json` prints.
COMMANDS: Mapping[str, Any] = {
    "run": models.RunDocument,
    "search": studies.OutcomeDocument,
    "status": studies.StatusDocument,
    "finalize": models.FinalDocument,
    "evaluate": Evaluation,
    "predict": list[plain.PredictionDocument | plain.RecordingPredictionDocument],
    "verify": plain.VerificationDocument,
    "export-c": plain.CodeDocument,
    "export-qdq": plain.QdqDocument,
    "export-mlflow": Exported,
    "doctor": plain.DoctorDocument,
    "data import": Import,
    "data fetch": Fetched,
    "data show": Contents,
    "data check": plain.CheckedDirectoryDocument,
    "data audit": LabelAudit,
    "data simulate": Simulation,
    "specs list": list[plain.SpecDocument],
}
# The JSON files of a bundle.
FILES: Mapping[str, Any] = {
    "metrics.json": plain.MetricsFileDocument,
    "manifest.json": plain.ManifestDocument,
}


def schema(document: Any) -> dict[str, Any]:
    """Return the JSON schema of one of the documents above."""
    return TypeAdapter(document).json_schema(schema_generator=_Described)


class _Described(GenerateJsonSchema):
    """Describes every object and its fields; none may be missing or added."""

    def generate_inner(self, schema: Any) -> dict[str, Any]:
        if schema["type"] == "enum":  # no object of its own
            schema = {name: value for name, value in schema.items() if name != "ref"}
        return super().generate_inner(schema)

    def dataclass_schema(self, schema: Any) -> dict[str, Any]:
        found, texts = super().dataclass_schema(schema), _field_texts(schema["cls"])
        for field in schema["schema"]["fields"]:
            shown = found["properties"][field.get("serialization_alias", field["name"])]
            shown["description"] = texts.get(field["name"], "")
            shown.pop("default", None)  # every field is there
        return {
            **found,
            "description": _null(inspect.getdoc(schema["cls"])),
            "required": [*found["properties"]],
            "additionalProperties": False,
        }


def _field_texts(cls: type) -> dict[str, str]:
    texts: dict[str, str] = {}
    for one in reversed(cls.__mro__[:-1]):
        found = ModuleAnalyzer.for_module(one.__module__).find_attr_docs()
        texts |= {name: _null(" ".join(lines)) for (of, name), lines in found.items() if of == one.__name__}
    return texts


def _null(text: str | None) -> str:
    """Return a text about Python as one about JSON."""
    return re.sub(r"\bNone\b", "null", text or "").strip()
