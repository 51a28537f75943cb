"""Optuna's database storage, with the lock that keeps a study's budget exact."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from atml.errors import StorageError

Explain = Callable[[str, sqlalchemy.ExceptionContext], Exception | None]


class Database(RDBStorage):
    """Optuna's storage; database errors are raised as `AtmlError`.

    `explain` returns the error to raise for a driver error, None to leave it to Optuna; `engine_kwargs` are
    for SQLAlchemy's `create_engine`.

    Raises:
        SQLAlchemyError: the database cannot be opened, or has no tables though they `must_exist`.
        StorageError: the tables are of another version of Optuna.
    """

    def __init__(
        self,
        url: sqlalchemy.URL,
        *,
        explain: Explain,
        engine_kwargs: dict[str, Any],
        must_exist: bool = False,
    ) -> None:
        full = url.render_as_string(hide_password=False)
        try:
            super().__init__(
                full.replace("{", "{{").replace("}", "}}"),  # Optuna treats the URL as a format string
                engine_kwargs=engine_kwargs,
                skip_compatibility_check=True,  # see `_check_tables`
                skip_table_creation=must_exist,
            )
            self._check_tables(url)
        except BaseException:
            if engine := vars(self).get("engine"):
                engine.dispose()  # otherwise its connection would stay open
            raise
        self.shown = shown(url)
        self._for_update = "" if self.engine.name == "sqlite" else " FOR UPDATE"
        self._explain = explain

    def _check_tables(self, url: sqlalchemy.URL) -> None:
        """Raise StorageError if the tables are of another version of Optuna.

        Optuna's own check opens a second connection while it holds one. If many workers did so at once,
        PgBouncer would have none left.
        """
        current = self.get_current_version()
        if current == self.get_head_version():
            return
        if current in self.get_all_versions():
            advice = "an earlier Optuna; back the database up, then run: optuna storage upgrade --storage URL"
        else:
            advice = "a later Optuna than the one installed; run: pip install --upgrade optuna"
        raise StorageError(f"{shown(url)}: its tables were made by {advice}")

    def explain_errors(self) -> None:
        """Explain the driver's errors from now on; opening a database needs the original ones."""

        def handle(context: sqlalchemy.ExceptionContext) -> None:
            explained = self._explain(self.shown, context)
            if explained is not None:
                raise explained from None

        sqlalchemy.event.listen(self.engine, "handle_error", handle)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make one transaction of this thread's calls within the block."""
        self.scoped_session.remove()
        with self.engine.begin() as connection:
            # Optuna's commits then write into this transaction without ending it.
            self.scoped_session(bind=connection, join_transaction_mode="rollback_only")
            try:
                yield
            finally:
                self.scoped_session.remove()

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Change a trial's state; return False if another process claimed the trial first."""
        if state == TrialState.RUNNING:
            study = "(SELECT study_id FROM trials WHERE trial_id = :number)"
            self._lock_study(study, trial_id)
        return super().set_trial_state_values(trial_id, state, values)

    def lock_study(self, study_id: int) -> None:
        """Lock a study until the next call of this thread, or its `transaction`, has ended."""
        self._lock_study(":number", study_id)

    def _lock_study(self, study: str, number: int) -> None:
        """Lock a study in the session whose transaction then starts a trial.

        Start times decide which worker gets the last trial of a budget, so trials must become visible in
        that order. SQLite has only one writer, from the first statement on.
        """
        query = f"SELECT study_id FROM studies WHERE study_id = {study}"  # noqa: S608
        session = self.scoped_session()
        try:
            session.execute(sqlalchemy.text(query + self._for_update), {"number": number})
        except BaseException:
            session.close()
            raise


def holds_bare_at(url: str, parsed: sqlalchemy.URL) -> bool:
    """Whether user or password hold an `@` that was not written as %40: what follows must not be shown.

    SQLAlchemy ends a password at its first `@` and takes the rest for the host, the database or options. The
    path of a file may hold one.
    """
    first_option = url.partition("?")[2].partition("=")[0]
    if "@" in (parsed.host or "") or (url.count("@") > 1 and "@" in first_option):
        return True
    return parsed.get_backend_name() != "sqlite" and "@" in (parsed.database or "")


def shown(url: sqlalchemy.URL) -> str:
    """Return a URL without password and without options, which may contain one too."""
    return url.set(query={}).render_as_string(hide_password=True)
