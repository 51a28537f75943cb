"""Architectures: a config with marked widths, and a network built from it."""

import dataclasses
import difflib
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from atml.errors import ModelError
from atml.models.front import SegmentNorm
from atml.words import error_in_words

_MINIMUM = "minimum_width"
# What a config's fields may be: JSON keeps these as they are.
_TYPES = (int, float, str, bool)


@dataclass(frozen=True, kw_only=True)
class Config:
    """The base of every architecture's config: int, float, str and bool fields, each with a default."""


def width(default: int, *, minimum: int = 1) -> Any:
    """Declare a config field that scales the network's size."""
    return dataclasses.field(default=default, metadata={_MINIMUM: minimum})


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
        # Among its own attributes: `Config` has it too, and a subclass without decorator inherits it.
        if "__dataclass_fields__" not in vars(self.config):
            raise ModelError(f"{self.name}: its config must be a class with the decorator @dataclass.")
        types = self._types
        for name, kind in types.items():
            allowed = (int,) if name in self.minimum_widths else _TYPES
            if kind not in allowed:
                names = " or ".join(one.__name__ for one in allowed)
                raise ModelError(
                    f"{self.name}: the type of the field {name!r} must be {names} but is {kind}."
                )
        try:
            values = dataclasses.asdict(self.default())
        except TypeError as error:
            raise ModelError(
                f"{self.name}: every field of its config must have a default: {error}."
            ) from None
        for name in values:
            self._typed(name, values[name], types)

    @property
    def _types(self) -> dict[str, Any]:
        """The type of each field."""
        try:
            types = typing.get_type_hints(self.config)
        except Exception as error:  # the annotations of a plug-in may be anything
            raise ModelError(
                f"{self.name}: the types of its config's fields cannot be read: {error_in_words(error)}"
            ) from error
        return {field.name: types[field.name] for field in dataclasses.fields(self.config)}

    @property
    def minimum_widths(self) -> dict[str, int]:
        """The smallest value of each config field that scales the network; empty if it has one size."""
        return {
            field.name: field.metadata[_MINIMUM]
            for field in dataclasses.fields(self.config)
            if _MINIMUM in field.metadata
        }

    def default(self) -> Config:
        """Return the default config."""
        return self.config()

    def build(self, config: Config, segment_length: int) -> nn.Module:
        """Return an untrained module: [batch, 1, segment_length] float32 -> logits [batch, 2].

        Its first layer scales each segment, so the gain of the signal does not matter.

        Raises ModelError if the config is another architecture's, a width is too small, the segment is too
        short or the builder fails.
        """
        self._check(config)
        if segment_length < self.minimum_length:
            raise ModelError(
                f"{self.name} needs segments of at least {self.minimum_length} samples "
                f"but got {segment_length}."
            )
        try:
            return _initialised(nn.Sequential(SegmentNorm(), self.network(config, segment_length)))
        except Exception as error:  # a plug-in may raise anything
            raise ModelError(f"{self.name} cannot be built from {config}: {error_in_words(error)}") from error

    def config_from_dict(self, values: Mapping[str, Any]) -> Config:
        """Return the config with these fields, as studies and checkpoints store them.

        Raises ModelError for an unknown, a missing or a wrongly typed field.
        """
        types = self._types
        for name in values:
            if name not in types:
                raise ModelError(f"{self.name} has no field {name!r}{_hint(name, types)}")
        for name in types:
            if name not in values:
                raise ModelError(f"{self.name} lacks the field {name!r}{_hint(name, types)}")
        config = self.config(**{name: self._typed(name, values[name], types) for name in types})
        self._check(config)
        return config

    def _typed(self, name: str, value: object, types: Mapping[str, type]) -> object:
        expected = types[name]
        if expected is float and type(value) is int:
            return float(value)
        if type(value) is not expected:  # so that True is not an int
            raise ModelError(
                f"{self.name}: the field {name!r} must be {expected.__name__} but got {value!r}; "
                f"its fields are {', '.join(types)}."
            )
        return value

    def _check(self, config: Config) -> None:
        if type(config) is not self.config:
            raise ModelError(f"{self.name} takes a {self.config.__name__} but got {type(config).__name__}.")
        for name, minimum in self.minimum_widths.items():
            value = getattr(config, name)
            if type(value) is not int or value < minimum:
                raise ModelError(
                    f"{self.name}: the width {name!r} must be an integer of at least {minimum} "
                    f"but got {value!r}."
                )


def count_parameters(module: nn.Module) -> int:
    """Count the module's trainable parameters."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def nearest(name: str, names: typing.Iterable[str]) -> str:
    """Return `: did you mean 'x'? ` if one of `names` resembles `name`, else `: `."""
    matches = difflib.get_close_matches(name, list(names), n=1)
    return f": did you mean {matches[0]!r}? " if matches else ": "


def _hint(name: str, types: Mapping[str, type]) -> str:
    fields = f"its fields are {', '.join(types)}." if types else "it has no fields."
    return (nearest(name, types) if name not in types else ": ") + fields


def _initialised(module: nn.Module) -> nn.Module:
    """Initialise convolutions, in place, as He et al. do, so that the signal does not vanish with depth."""
    for part in module.modules():
        if isinstance(part, nn.Conv1d):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    return module
