"""The JSON documents that commands print and bundles hold: their fields, types and meanings.

Every field of a document is present in each; those that may be unknown are null then. The reference is
generated from these models, and tests validate what commands print against their JSON schemas.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from atml.cli.schemas.bundles import (
    CodeDocument,
    FinalDocument,
    ManifestDocument,
    MetricsFileDocument,
    PredictionDocument,
    QdqDocument,
    RecordingPredictionDocument,
    VerificationDocument,
)
from atml.cli.schemas.data import (
    AuditDocument,
    CheckedDirectoryDocument,
    ContentsDocument,
    FetchedDocument,
    ImportDocument,
    SimulationDocument,
)
from atml.cli.schemas.doctor import DoctorDocument
from atml.cli.schemas.metrics import MetricsDocument
from atml.cli.schemas.studies import (
    MlflowDocument,
    OutcomeDocument,
    RunDocument,
    SpecDocument,
    StatusDocument,
)

__all__ = ["COMMANDS", "FILES", "schema"]

# What `atml COMMAND --json` prints.
COMMANDS: Mapping[str, Any] = {
    "run": RunDocument,
    "search": OutcomeDocument,
    "status": StatusDocument,
    "finalize": FinalDocument,
    "evaluate": MetricsDocument,
    "predict": list[PredictionDocument | RecordingPredictionDocument],
    "verify": VerificationDocument,
    "export-c": CodeDocument,
    "export-qdq": QdqDocument,
    "export-mlflow": MlflowDocument,
    "doctor": DoctorDocument,
    "data import": ImportDocument,
    "data fetch": FetchedDocument,
    "data show": ContentsDocument,
    "data check": CheckedDirectoryDocument,
    "data audit": AuditDocument,
    "data simulate": SimulationDocument,
    "specs list": list[SpecDocument],
}
# The JSON files of a bundle.
FILES: Mapping[str, Any] = {"metrics.json": MetricsFileDocument, "manifest.json": ManifestDocument}


def schema(document: Any) -> dict[str, Any]:
    """Return the JSON schema of one of the documents above."""
    return TypeAdapter(document).json_schema()
