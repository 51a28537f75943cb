"""What the dashboard says while its database or its artifacts are away: 503, and one sentence.

optuna-dashboard makes "internal server error" and a traceback of every exception but its framework's
own. So storage and artifacts raise that; the next request asks them again, and finds them back.
"""

import functools
from collections.abc import Callable
from typing import Any, BinaryIO

import optuna
from bottle import HTTPError
from optuna.artifacts._protocol import ArtifactStore
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage

from atml.errors import AtmlError

UNAVAILABLE = 503


def telling_storage(storage: BaseStorage) -> BaseStorage:
    """Return a storage that asks `storage`; what fails becomes an answer."""
    # A cached storage reads a finished trial once, however often the dashboard asks for it.
    cached = optuna.storages.get_storage(storage)
    methods = (name for name in vars(BaseStorage) if not name.startswith("_"))
    relayed = {name: staticmethod(_telling(getattr(cached, name))) for name in methods}
    kind: type[BaseStorage] = type("TellingStorage", (BaseStorage,), relayed)
    return kind()


class TellingStore:
    """An artifact store; what fails becomes an answer."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """Open an artifact to read."""
        reader: BinaryIO = _telling(self._store.open_reader)(artifact_id)
        return reader

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """Keep what can be read from `content_body`."""
        _telling(self._store.write)(artifact_id, content_body)

    def remove(self, artifact_id: str) -> None:
        """Delete an artifact."""
        _telling(self._store.remove)(artifact_id)


def _telling(call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    def told(*arguments: Any, **options: Any) -> Any:
        try:
            return call(*arguments, **options)
        except (AtmlError, OSError) as error:
            raise HTTPError(UNAVAILABLE, str(error)) from None
        except StorageInternalError as error:
            raise HTTPError(UNAVAILABLE, f"the database refuses: {error.__cause__ or error}") from None

    return told
