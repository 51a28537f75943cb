"""Architectures: a config with marked widths, and a network built from it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn

from atml.errors import ModelError
from atml.models.front import SegmentNorm
from atml.words import error_in_words

_MINIMUM = "minimum_width"
# What a config's fields may be: JSON keeps these as they are.
_TYPES = (int, float, str, bool)


class Config(BaseModel):
    """The base of every architecture's config: int, float, str and bool fields, each with a default."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True)


def width(default: int, *, minimum: int = 1) -> Any:
    """Declare a config field that scales the network's size."""
    return Field(default, ge=minimum, json_schema_extra={_MINIMUM: minimum})


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """One candidate network: its config, the range of its widths and its builder.

    Raises ModelError if a study could not store and restore the config.
    """

    name: str  # snake_case and stable, since studies store it
    config: type[Config]
    network: Callable[[Any, int], nn.Module]  # (config, segment_length) -> untrained module
    minimum_length: int  # the shortest segment the network accepts

    def __post_init__(self) -> None:
        kind: object = self.config
        if not (isinstance(kind, type) and issubclass(kind, Config)) or is_dataclass(kind):
            raise ModelError(
                f"{self.name}: its config must be a subclass of atml.models.Config, "
                "without the decorator @dataclass."
            )
        for name, field in self.config.model_fields.items():
            allowed = (int,) if name in self.minimum_widths else _TYPES
            if field.annotation not in allowed:
                names = " or ".join(one.__name__ for one in allowed)
                raise ModelError(
                    f"{self.name}: the type of the field {name!r} must be {names} but is {field.annotation}."
                )
            if field.is_required():
                raise ModelError(f"{self.name}: the field {name!r} of its config must have a default.")
        self._validated({})

    @property
    def minimum_widths(self) -> dict[str, int]:
        """The smallest value of each config field that scales the network; empty if it has one size."""
        fields = self.config.model_fields.items()
        extra: dict[str, Any] = {name: field.json_schema_extra or {} for name, field in fields}
        return {name: extra[name][_MINIMUM] for name in extra if _MINIMUM in extra[name]}

    def default(self) -> Config:
        """Return the default config."""
        return self.config()

    def build(self, config: Config, segment_length: int) -> nn.Module:
        """Return an untrained module: [batch, 1, segment_length] float32 -> logits [batch, 2].

        Its first layer scales each segment, so the gain of the signal does not matter.

        Raises ModelError if the config is another architecture's, the segment is too short or the builder
        fails.
        """
        if type(config) is not self.config:
            raise ModelError(f"{self.name} takes a {self.config.__name__} but got {type(config).__name__}.")
        if segment_length < self.minimum_length:
            raise ModelError(
                f"{self.name} needs segments of at least {self.minimum_length} samples "
                f"but got {segment_length}."
            )
        try:
            return _initialised(nn.Sequential(SegmentNorm(), self.network(config, segment_length)))
        except Exception as error:  # a plug-in may raise anything
            raise ModelError(
                f"{self.name} cannot be built from {config!r}: {error_in_words(error)}"
            ) from error

    def config_from_dict(self, values: Mapping[str, Any]) -> Config:
        """Return the config with these fields, as studies and checkpoints store them.

        Raises ModelError for an unknown, a missing or a wrongly typed field.
        """
        fields = self.config.model_fields
        if values.keys() != fields.keys():
            own, given = (", ".join(map(str, names)) or "none" for names in (fields, values))
            raise ModelError(f"{self.name} has the config fields {own} but got {given}.")
        return self._validated(values)

    def _validated(self, values: Mapping[str, Any]) -> Config:
        try:
            return self.config.model_validate(dict(values))
        except ValidationError as error:
            found = error.errors()[0]
            what = ".".join(map(str, found["loc"])) or "fields"
            raise ModelError(
                f"{self.name}: the config's {what} cannot be {found['input']!r} ({found['msg']})."
            ) from None


def count_parameters(module: nn.Module) -> int:
    """Count the module's trainable parameters."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def _initialised(module: nn.Module) -> nn.Module:
    """Initialise convolutions, in place, as He et al. do, so that the signal does not vanish with depth."""
    for part in module.modules():
        if isinstance(part, nn.Conv1d):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    return module
