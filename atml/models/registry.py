"""All architectures by name: those of ATML, then those that installed distributions add."""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points

from atml.errors import PluginError
from atml.models.architecture import Architecture

GROUP = "atml.architectures"


class Registry(Mapping[str, Architecture]):
    """Maps names to architectures.

    Distributions add `Architecture` objects through the entry point group `atml.architectures`. They are
    looked up on first use, not on import, since a plug-in itself imports `atml.models`.

    Raises:
        PluginError: on first use, if a plug-in cannot be imported, is not an architecture or repeats a name.
    """

    def __init__(self, own: Iterable[Architecture]) -> None:
        self._own = {one.name: one for one in own}

    @cached_property
    def _all(self) -> dict[str, tuple[Architecture, str | None]]:
        """By name: the architecture, and the distribution that adds it."""
        found: dict[str, tuple[Architecture, str | None]] = {
            name: (one, None) for name, one in self._own.items()
        }
        # In a fixed order, since studies list the names in it.
        points = sorted(entry_points(group=GROUP), key=lambda point: (_distribution(point), point.name))
        for point in points:
            added = _load(point)
            if added.name in found:
                raise PluginError(
                    f"{_where(point)} is named {added.name!r}, like one of {found[added.name][1] or 'ATML'}; "
                    f"rename it or uninstall {_distribution(point)}"
                )
            found[added.name] = added, _distribution(point)
        return found

    def distribution_of(self, name: str) -> str | None:
        """Return the distribution that adds an architecture; None if ATML itself does."""
        return self._all[name][1]

    def __getitem__(self, name: str) -> Architecture:
        return self._all[name][0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)


def _load(point: EntryPoint) -> Architecture:
    try:
        added = point.load()
    except Exception as error:  # a plug-in may raise anything
        raise PluginError(
            f"{_where(point)} cannot be imported ({type(error).__name__}: {error}); repair or uninstall it"
        ) from error
    if not isinstance(added, Architecture):
        raise PluginError(f"{_where(point)} is not an atml.models.Architecture but {type(added).__name__}")
    if not re.fullmatch("[a-z][a-z0-9_]*", added.name):
        raise PluginError(f"{_where(point)} is named {added.name!r}, which is not in snake_case; rename it")
    return added


def _where(point: EntryPoint) -> str:
    return f"the architecture {point.value} of the distribution {_distribution(point)}"


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "(unknown)"
