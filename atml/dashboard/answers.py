"""The dashboard's HTTP answers when its database or artifacts fail or have no such study.

optuna-dashboard answers every exception except its framework's with "internal server error" and logs a
traceback, so its storage and artifact store raise the framework's.
"""

import functools
from collections.abc import Callable
from typing import Any

from bottle import HTTPError
from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage

from atml.errors import AtmlError

NOT_FOUND, CONFLICT, UNAVAILABLE = 404, 409, 503


class NotFound(HTTPError, KeyError):  # type: ignore[misc]  # bottle has no types
    """404; also a KeyError for the parts of optuna-dashboard that expect one."""


class WithHttpErrors:
    """Forwards calls to a storage or an artifact store, and raises its errors as HTTP answers."""

    def __init__(self, wrapped: Any) -> None:
        self._wrapped = wrapped

    def __getattr__(self, name: str) -> Any:
        return _with_http_errors(getattr(self._wrapped, name))


BaseStorage.register(WithHttpErrors)  # optuna-dashboard accepts nothing else


def _with_http_errors(call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        try:
            return call(*arguments, **options)
        except (KeyError, ArtifactNotFound):
            raise NotFound(NOT_FOUND, "no such study, trial or artifact") from None
        except UpdateFinishedTrialError:
            raise HTTPError(CONFLICT, "the trial has ended and cannot be changed") from None
        except (AtmlError, OSError) as error:
            raise HTTPError(UNAVAILABLE, str(error)) from None
        except StorageInternalError as error:
            raise HTTPError(UNAVAILABLE, f"the database refuses: {error.__cause__ or error}") from None

    return wrapped
