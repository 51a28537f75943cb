"""The phases of a search, one file each, and loading the phase of a spec."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from atml.errors import SpecError
from atml.training import AugmentationSettings, TrainingSettings
from atml.tuning.phases.architecture import ArchitecturePhase
from atml.tuning.phases.joint import JointPhase
from atml.tuning.phases.phase import Phase
from atml.tuning.phases.width import WidthPhase
from atml.tuning.spec import explain, read_toml

__all__ = ["PHASES", "ArchitecturePhase", "JointPhase", "Phase", "WidthPhase", "load_spec", "parse_spec"]

PHASES: Mapping[str, type[Phase]] = {
    "joint": JointPhase,
    "architecture": ArchitecturePhase,
    "width": WidthPhase,
}


def load_spec(path: str | Path) -> Phase:
    """Read a spec from the TOML file at `path`.

    Raises:
        SpecError: the file cannot be read, or a field is unknown or wrong; every such field is named.
    """
    return parse_spec(read_toml(Path(path)), source=str(path))


def parse_spec(document: Mapping[str, Any], *, source: str) -> Phase:
    """Create a phase from a spec's fields; `source` is named in errors.

    Raises:
        SpecError: a field is unknown or wrong; every such field is named.
    """
    if not isinstance(document, Mapping):
        raise SpecError(f"{source}: a spec must be a table of fields but got {document!r:.80}")
    phase = document.get("phase")
    if not isinstance(phase, str) or phase not in PHASES:
        raise SpecError(f"{source}: field `phase` must be one of {', '.join(PHASES)} but got {phase!r}")
    try:
        return PHASES[phase].model_validate(document)
    except ValidationError as error:
        raise explain(error, source, _fields_at(PHASES[phase])) from None


def _fields_at(model: type[BaseModel], prefix: str = "") -> dict[str, list[str]]:
    """Return the valid field names of every table of a spec, keyed by the table's path."""
    found = {prefix.rstrip("."): list(model.model_fields)}
    for name, field in model.model_fields.items():
        for kind in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found |= _fields_at(kind, f"{prefix}{name}.")
    found["training"] = sorted(set(TrainingSettings.__dataclass_fields__) - {"learning_rate", "seed"})
    found["training.augmentation"] = list(AugmentationSettings.__dataclass_fields__)
    return found
