"""Optuna's database storage with fewer and shorter transactions."""

import json
import time
from collections import defaultdict
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any

import sqlalchemy
from optuna.distributions import (
    BaseDistribution,
    check_distribution_compatibility,
    distribution_to_json,
    json_to_distribution,
)
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, Row, bindparam, select
from sqlalchemy import exc as sqlalchemy_errors

STALE_CHECK_SECONDS = 1.0
# More are not listed one by one: databases have a limit, and so does the planner's patience.
MOST_LISTED = 500
READ_ONLY = "atml_read_only"  # execution option of a connection that will not write

_TRIALS: Any = models.TrialModel.__table__
_STUDIES: Any = models.StudyModel.__table__
_STUDY_ATTRIBUTES: Any = models.StudyUserAttributeModel.__table__
_VALUES: Any = models.TrialValueModel.__table__

# All that belongs to some trials, in one answer instead of five.
_PARTS = """
    SELECT 'param' AS part, trial_id, param_id AS place, param_name AS name,
        param_value AS number, distribution_json AS content
    FROM trial_params WHERE trial_id {which}
    UNION ALL SELECT 'value', trial_id, objective, CAST(value_type AS VARCHAR(8)), value, NULL
    FROM trial_values WHERE trial_id {which}
    UNION ALL SELECT 'user', trial_id, 0, key, NULL, value_json
    FROM trial_user_attributes WHERE trial_id {which}
    UNION ALL SELECT 'system', trial_id, 0, key, NULL, value_json
    FROM trial_system_attributes WHERE trial_id {which}
    UNION ALL SELECT 'step', trial_id, step, CAST(intermediate_value_type AS VARCHAR(8)),
        intermediate_value, NULL
    FROM trial_intermediate_values WHERE trial_id {which}
"""
_PARTS_OF_SOME = sqlalchemy.text(_PARTS.format(which="IN :trials")).bindparams(
    bindparam("trials", expanding=True)
)
_PARTS_OF_STUDY = sqlalchemy.text(
    _PARTS.format(which="IN (SELECT trial_id FROM trials WHERE study_id = :study)")
)

_PUT_ATTRIBUTE = """
    INSERT INTO {table} (trial_id, key, value_json)
    SELECT trial_id, CAST(:key AS VARCHAR(512)), CAST(:value AS TEXT) FROM trials
    WHERE trial_id = :trial_id AND state IN ('RUNNING', 'WAITING')
    ON CONFLICT (trial_id, key) DO UPDATE SET value_json = excluded.value_json
"""
_PUT_USER_ATTRIBUTE = sqlalchemy.text(_PUT_ATTRIBUTE.format(table="trial_user_attributes"))
_PUT_SYSTEM_ATTRIBUTE = sqlalchemy.text(_PUT_ATTRIBUTE.format(table="trial_system_attributes"))
_PUT_PARAM = sqlalchemy.text("""
    INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json)
    SELECT trial_id, CAST(:name AS VARCHAR(512)), CAST(:value AS DOUBLE PRECISION),
        CAST(:distribution AS TEXT)
    FROM trials WHERE trial_id = :trial_id AND state IN ('RUNNING', 'WAITING')
    ON CONFLICT (trial_id, param_name) DO NOTHING
""")


class LeanStorage(RDBStorage):
    """Reads and writes what every trial needs with plain SQL; the tables and their content are Optuna's.

    Optuna goes through an object-relational mapper: a transaction of three statements for each
    attribute, six for each look at the trials. Here an attribute is one statement, and a look at the
    trials asks for what changed, without taking a lock. Nothing else differs.
    """

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, **options)
        self._stale_checked: dict[int, float] = {}
        # Without a transaction PostgreSQL is asked once a statement, not three times.
        immediately = {"isolation_level": "AUTOCOMMIT"} if self.engine.name == "postgresql" else {}
        self._reader = self.engine.execution_options(**{READ_ONLY: True}, **immediately)
        self._writer = self.engine.execution_options(**immediately)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return a trial as it is now.

        Raises:
            KeyError: there is none of that id.
        """
        with _as_storage_error(), self._reader.connect() as connection:
            trials = self._read(connection, _TRIALS.c.trial_id == trial_id)
        if not trials:
            raise KeyError(models.NOT_FOUND_MSG)
        return trials[0]

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        wanted = _TRIALS.c.trial_id > trial_id_greater_than
        older = [number for number in included_trial_ids if number <= trial_id_greater_than]
        if older:
            wanted = sqlalchemy.or_(wanted, _TRIALS.c.trial_id.in_(older))
        if states is not None:
            wanted = sqlalchemy.and_(wanted, _TRIALS.c.state.in_(tuple(states)))  # type: ignore[arg-type]
        with _as_storage_error(), self._reader.connect() as connection:
            trials = self._read(connection, sqlalchemy.and_(_TRIALS.c.study_id == study_id, wanted))
            if not trials:
                self._require_study(connection, study_id)
        return trials

    def _read(self, connection: Connection, wanted: Any) -> list[FrozenTrial]:
        # The state first: whoever finishes a trial has written everything else before.
        heads = connection.execute(select(_TRIALS).where(wanted).order_by(_TRIALS.c.trial_id)).all()
        if not heads:
            return []
        parts: dict[int, list[Row[Any]]] = {head.trial_id: [] for head in heads}
        for part in connection.execute(*_parts_of(heads)):
            if part.trial_id in parts:
                parts[part.trial_id].append(part)
        return [_frozen(head, parts[head.trial_id]) for head in heads]

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Return a study's user attributes as they are now.

        Raises:
            KeyError: there is no study of that id.
        """
        attributes = _STUDY_ATTRIBUTES.c
        query = select(attributes.key, attributes.value_json).where(attributes.study_id == study_id)
        with _as_storage_error(), self._reader.connect() as connection:
            rows = connection.execute(query).all()
            if not rows:
                self._require_study(connection, study_id)
        return {row.key: json.loads(row.value_json) for row in rows}

    def _require_study(self, connection: Connection, study_id: int) -> None:
        if connection.scalar(select(_STUDIES.c.study_id).where(_STUDIES.c.study_id == study_id)) is None:
            raise KeyError(models.NOT_FOUND_MSG)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Write one user attribute of an unfinished trial.

        Raises:
            KeyError: there is no such trial.
            UpdateFinishedTrialError: it has finished.
        """
        self._put(_PUT_USER_ATTRIBUTE, trial_id, {"key": key, "value": json.dumps(value)})

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Write one system attribute of an unfinished trial.

        Raises:
            KeyError: there is no such trial.
            UpdateFinishedTrialError: it has finished.
        """
        self._put(_PUT_SYSTEM_ATTRIBUTE, trial_id, {"key": key, "value": json.dumps(value)})

    def _set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
        previous_distribution: BaseDistribution | None,
    ) -> None:
        if previous_distribution is None:  # the first of this process, which Optuna compares with others'
            super()._set_trial_param(trial_id, param_name, param_value_internal, distribution, None)
            return
        check_distribution_compatibility(previous_distribution, distribution)
        values = {"name": param_name, "value": float(param_value_internal)}
        values["distribution"] = distribution_to_json(distribution)
        self._put(_PUT_PARAM, trial_id, values, may_be_there=True)

    def _put(
        self, statement: Any, trial_id: int, values: dict[str, Any], *, may_be_there: bool = False
    ) -> None:
        with _as_storage_error(), self._writer.begin() as connection:
            if connection.execute(statement, {"trial_id": trial_id, **values}).rowcount:
                return
            state = connection.scalar(select(_TRIALS.c.state).where(_TRIALS.c.trial_id == trial_id))
        self._require_unfinished(trial_id, state)
        if not may_be_there:
            raise StorageInternalError(f"cannot write {values} of trial {trial_id}")

    def _require_unfinished(self, trial_id: int, state: TrialState | None) -> None:
        if state is None:
            raise KeyError(models.NOT_FOUND_MSG)
        self.check_trial_is_updatable(trial_id, state)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Change a trial's state; False if it was to be claimed and another process was faster.

        Raises:
            KeyError: there is no such trial.
            UpdateFinishedTrialError: it has finished.
        """
        with _as_storage_error(), self.engine.begin() as connection:
            if state == TrialState.RUNNING:
                self._lock_study_of(connection, trial_id)
            query = select(_TRIALS.c.state).where(_TRIALS.c.trial_id == trial_id).with_for_update()
            present = connection.scalar(query)
            self._require_unfinished(trial_id, present)
            if state == TrialState.RUNNING and present != TrialState.WAITING:
                return False
            if values is not None:
                _put_values(connection, trial_id, values)
            connection.execute(
                _TRIALS.update().where(_TRIALS.c.trial_id == trial_id).values(_on_entering(state))
            )
        return True

    def _lock_study_of(self, connection: Connection, trial_id: int) -> None:
        """Wait for those who create or claim trials of the same study.

        Starting times decide who gets the last trial of a budget, so trials must become visible in
        their order. Optuna takes this lock for a new trial, but not to claim a queued one.
        """
        study = select(_TRIALS.c.study_id).where(_TRIALS.c.trial_id == trial_id).scalar_subquery()
        connection.execute(select(_STUDIES.c.study_id).where(_STUDIES.c.study_id == study).with_for_update())

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        # Optuna looks before every trial; a trial becomes stale in a minute, not in a moment.
        now = time.monotonic()
        if now - self._stale_checked.get(study_id, float("-inf")) < STALE_CHECK_SECONDS:
            return []
        stale = super()._get_stale_trial_ids(study_id)
        self._stale_checked[study_id] = now
        return stale


def _parts_of(heads: Sequence[Row[Any]]) -> tuple[Any, dict[str, Any]]:
    """Return the query, and its values, for what belongs to these trials, and perhaps to others."""
    if len(heads) > MOST_LISTED:
        return _PARTS_OF_STUDY, {"study": heads[0].study_id}
    return _PARTS_OF_SOME, {"trials": [head.trial_id for head in heads]}


def _frozen(head: Row[Any], parts: Sequence[Row[Any]]) -> FrozenTrial:
    """Return a trial made of its rows, as Optuna would."""
    of: dict[str, list[Row[Any]]] = defaultdict(list)
    for part in sorted(parts, key=attrgetter("place")):
        of[part.part].append(part)
    distributions = {one.name: _distribution(one.content) for one in of["param"]}
    value, step = models.TrialValueModel, models.TrialIntermediateValueModel
    return FrozenTrial(
        number=head.number,
        state=head.state,
        value=None,
        values=[value.stored_repr_to_value(one.number, value.TrialValueType[one.name]) for one in of["value"]]
        or None,
        datetime_start=_local(head.datetime_start),
        datetime_complete=_local(head.datetime_complete),
        params={one.name: distributions[one.name].to_external_repr(one.number) for one in of["param"]},
        distributions=distributions,
        user_attrs={one.name: json.loads(one.content) for one in of["user"]},
        system_attrs={one.name: json.loads(one.content) for one in of["system"]},
        intermediate_values={
            one.place: step.stored_repr_to_intermediate_value(
                one.number, step.TrialIntermediateValueType[one.name]
            )
            for one in of["step"]
        },
        trial_id=head.trial_id,
    )


@lru_cache(maxsize=1024)
def _distribution(document: str) -> BaseDistribution:
    return json_to_distribution(document)


def _local(moment: datetime | None) -> datetime | None:
    """Return a time of the database, which is in UTC, as Optuna shows it: this machine's, without a zone."""
    return None if moment is None else moment.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)


def _put_values(connection: Connection, trial_id: int, values: Sequence[float]) -> None:
    for objective, value in enumerate(values):
        stored, kind = models.TrialValueModel.value_to_stored_repr(value)
        row = {"trial_id": trial_id, "objective": objective, "value": stored, "value_type": kind}
        connection.execute(_VALUES.insert().values(row))


def _on_entering(state: TrialState) -> dict[str, Any]:
    """Return what to write when a trial enters a state; times are kept in UTC, without a zone."""
    columns: dict[str, Any] = {"state": state}
    now = datetime.now(UTC).replace(tzinfo=None)
    if state == TrialState.RUNNING:
        columns["datetime_start"] = now
    if state.is_finished():
        columns["datetime_complete"] = now
    return columns


@contextmanager
def _as_storage_error() -> Iterator[None]:
    """Raise SQLAlchemy's errors as Optuna's storage does."""
    try:
        yield
    except sqlalchemy_errors.SQLAlchemyError as error:
        raise StorageInternalError("the database refused a query") from error
