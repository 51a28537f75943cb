"""Optuna's database storage, with the lock that keeps a study's budget exact."""

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy
from optuna.storages import RDBStorage
from optuna.trial import TrialState

Explain = Callable[[str, sqlalchemy.ExceptionContext], Exception | None]

_LOCK_STUDY = sqlalchemy.text(
    "SELECT study_id FROM studies"
    " WHERE study_id = (SELECT study_id FROM trials WHERE trial_id = :trial_id) FOR UPDATE"
)


class Database(RDBStorage):
    """Optuna's storage; what the database refuses is an `AtmlError`.

    Args:
        url: A SQLAlchemy URL.
        explain: Returns what to raise for an error of the driver; None leaves it to Optuna.
        engine_kwargs: For SQLAlchemy's `create_engine`.

    Raises:
        SQLAlchemyError: the database cannot be opened.
        RuntimeError: its tables are of another version of Optuna.
    """

    def __init__(self, url: sqlalchemy.URL, *, explain: Explain, engine_kwargs: dict[str, Any]) -> None:
        full = url.render_as_string(hide_password=False)
        try:
            # Optuna takes the URL for a format string.
            super().__init__(full.replace("{", "{{").replace("}", "}}"), engine_kwargs=engine_kwargs)
        except BaseException:
            if engine := vars(self).get("engine"):
                engine.dispose()  # else its connection would stay open
            raise
        self.shown = shown(url)
        self._explain = explain

    def explain_errors(self) -> None:
        """Raise the driver's errors as sentences from now on; whoever opens a database retries some."""

        def handle(context: sqlalchemy.ExceptionContext) -> None:
            explained = self._explain(self.shown, context)
            if explained is not None:
                raise explained from None

        sqlalchemy.event.listen(self.engine, "handle_error", handle)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Change a trial's state; False if it was to be claimed and another process was faster."""
        if state == TrialState.RUNNING and self.engine.name == "postgresql":
            self._lock_study_of(trial_id)
        return super().set_trial_state_values(trial_id, state, values)

    def _lock_study_of(self, trial_id: int) -> None:
        """Lock the study in the session whose transaction then claims the trial.

        Starting times decide who gets the last trial of a budget, so trials must become visible in
        their order. Optuna takes this lock to create a trial, but not to claim a queued one. SQLite has
        one writer anyway.
        """
        session = self.scoped_session()
        try:
            session.execute(_LOCK_STUDY, {"trial_id": trial_id})
        except BaseException:
            session.close()
            raise


def shown(url: sqlalchemy.URL) -> str:
    """Return a URL that may be shown: no password, and no options, which may hold one too."""
    return url.set(query={}).render_as_string(hide_password=True)
