"""A stop request stored with a study. `Study.stop` reaches one process; this reaches all of them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from optuna import Study

ATTRIBUTE = "stop"


class StoppedBy(StrEnum):
    """Who requested it."""

    TARGETS = "targets"
    BUDGET = "budget"
    SPACE = "space"  # every point was tried or ruled out
    ERRORS = "errors"  # all trials ended with the same error
    USER = "user"


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Why a study has ended: no worker should start or continue a trial."""

    by: StoppedBy  #: What ended it; `space`: every point was tried or ruled out.
    because: str  #: The reason in words.
    trial: int | None = None  #: The trial that met the targets, if that ended the study.


def request_stop(study: Study, stop: Stop) -> None:
    """Ask every worker of the study to leave."""
    study.set_user_attr(ATTRIBUTE, asdict(stop))


def read(study: Study) -> Stop | None:
    """Return the stop request, if there is one."""
    return stop_in(study.user_attrs)


def stop_in(attributes: Mapping[str, Any]) -> Stop | None:
    """Return the stop request in a study's user attributes, if there is one."""
    value: dict[str, Any] | None = attributes.get(ATTRIBUTE)
    return Stop(by=StoppedBy(value["by"]), because=value["because"], trial=value["trial"]) if value else None


def clear_stop(study: Study) -> None:
    """Remove the stop request, so that workers may continue the study."""
    study.set_user_attr(ATTRIBUTE, None)
