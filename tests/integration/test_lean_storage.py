"""ATML's own queries give what Optuna's give, on the same tables."""

import math
import sqlite3
from datetime import timedelta

import optuna
import pytest
import sqlalchemy
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial

from atml.service.storage import lean, open_storage
from tests.databases import on_both_databases

pytestmark = pytest.mark.filterwarnings("ignore:Heartbeat of storage is supposed")

SPACE = {
    "architecture": CategoricalDistribution(["linear", "Größe 'x'", None, 3, True]),
    "learning_rate": FloatDistribution(1e-7, 1e-1, log=True),
    "width": IntDistribution(1, 64, step=3),
}
POINT = {"architecture": "Größe 'x'", "learning_rate": 0.1 / 3, "width": 61}


@pytest.fixture
def optunas_own(storage_url):
    """Optuna's storage on the same database."""
    opened = RDBStorage(storage_url.replace("postgresql://", "postgresql+psycopg://"))
    yield opened
    opened.engine.dispose()


@pytest.fixture
def study(storage):
    return optuna.create_study(storage=storage, study_name="first", directions=["maximize", "minimize"])


def fill(study):
    """Add a trial in every state, with values, numbers and texts of every kind."""
    study.enqueue_trial(POINT, user_attrs={"retry_of": 3})
    running = study.ask()  # takes up the queued one
    for name, distribution in SPACE.items():
        running._suggest(name, distribution)
    running.set_user_attr("curve", [[0.1, 1e-300, None], "β ≥ 2 %", {"nested": [True]}])
    running.set_constraint("size", -0.25)
    for state, values in [
        (TrialState.COMPLETE, [math.inf, -math.inf]),
        (TrialState.COMPLETE, [1 / 3, 12_345]),
        (TrialState.PRUNED, None),
        (TrialState.FAIL, None),
    ]:
        study.add_trial(
            create_trial(
                state=state,
                values=values,
                params=POINT,
                distributions=SPACE,
                intermediate_values={0: 0.5, 1: -math.inf, 2: math.inf, 10: math.nan},
                user_attrs={"a": 1},
                system_attrs={"b": [2]},
            )
        )
    study.enqueue_trial({"width": 4})


def shown(*trials):
    """Show trials so that nan equals nan, and the order in which a database gave their parts is nothing."""
    ordered = (
        {k: sorted(v.items()) if isinstance(v, dict) else v for k, v in vars(t).items()} for t in trials
    )
    return [repr(one) for one in ordered]


@on_both_databases
class TestReading:
    def test_every_trial_reads_as_with_optuna(self, study, storage, optunas_own):
        fill(study)
        expected = optunas_own.get_all_trials(study._study_id)
        assert shown(*storage.get_all_trials(study._study_id)) == shown(*expected)
        for trial in expected:
            assert shown(storage.get_trial(trial._trial_id)) == shown(trial)

    def test_a_study_with_more_trials_than_are_listed_reads_as_with_optuna(
        self, study, storage, optunas_own, monkeypatch
    ):
        fill(optuna.create_study(storage=storage, study_name="other", directions=["minimize"] * 2))
        fill(study)
        monkeypatch.setattr(lean, "MOST_LISTED", 2)
        expected = optunas_own.get_all_trials(study._study_id)
        assert shown(*storage.get_all_trials(study._study_id)) == shown(*expected)

    def test_states_can_be_asked_for(self, study, storage, optunas_own):
        fill(study)
        for state in TrialState:
            expected = optunas_own.get_all_trials(study._study_id, states=(state,))
            assert shown(*storage.get_all_trials(study._study_id, states=(state,))) == shown(*expected)

    def test_a_kept_study_sees_what_changed_elsewhere(self, study, storage_url, optunas_own):
        fill(study)
        assert len(study.trials) == 6
        elsewhere = optuna.load_study(study_name="first", storage=optunas_own)
        elsewhere.tell(0, [0.5, 1000])
        elsewhere.enqueue_trial({"width": 7})
        assert shown(*study.trials) == shown(*elsewhere.trials)

    def test_study_attributes_read_as_with_optuna(self, study, storage, optunas_own):
        assert storage.get_study_user_attrs(study._study_id) == {}
        study.set_user_attr("spec", {"name": "größer"})
        study.set_user_attr("stop", None)
        expected = optunas_own.get_study_user_attrs(study._study_id)
        assert storage.get_study_user_attrs(study._study_id) == expected

    def test_what_is_not_there_is_a_key_error(self, storage):
        for ask in (storage.get_trial, storage.get_all_trials, storage.get_study_user_attrs):
            with pytest.raises(KeyError):
                ask(999)


@on_both_databases
class TestWriting:
    def test_an_attribute_can_be_written_over(self, study, storage):
        trial = study.ask()
        for value in (1, {"two": "β"}, "x" * 100_000):
            trial.set_user_attr("curve", value)
            storage.set_trial_system_attr(trial._trial_id, "point", value)
            there = storage.get_trial(trial._trial_id)
            assert (there.user_attrs["curve"], there.system_attrs["point"]) == (value, value)

    def test_a_finished_trial_cannot_be_changed(self, study, storage):
        trial = study.ask()
        study.tell(trial, [1, 2])
        before = repr(study.trials)
        with pytest.raises(UpdateFinishedTrialError):
            trial.set_user_attr("late", 1)
        with pytest.raises(UpdateFinishedTrialError):
            storage.set_trial_system_attr(trial._trial_id, "late", 1)
        for known in (None, SPACE["width"]):
            with pytest.raises(UpdateFinishedTrialError):
                storage._set_trial_param(trial._trial_id, "width", 4, SPACE["width"], known)
        for state in TrialState:
            with pytest.raises(UpdateFinishedTrialError):
                storage.set_trial_state_values(trial._trial_id, state, [3, 4])
        assert repr(study.trials) == before

    def test_a_trial_that_is_not_there_is_a_key_error(self, storage):
        with pytest.raises(KeyError):
            storage.set_trial_user_attr(999, "a", 1)
        with pytest.raises(KeyError):
            storage.set_trial_state_values(999, TrialState.COMPLETE, [1])

    def test_a_queued_trial_is_claimed_once(self, study, storage, optunas_own):
        study.enqueue_trial({"width": 4})
        (queued,) = (trial._trial_id for trial in study.trials)
        assert storage.set_trial_state_values(queued, TrialState.RUNNING)
        assert not storage.set_trial_state_values(queued, TrialState.RUNNING)
        assert optunas_own.get_trial(queued).state == TrialState.RUNNING

    def test_times_are_those_of_optuna(self, study, storage):
        before = study.ask()  # written by Optuna's own code
        study.enqueue_trial({})
        after = study.ask()  # claimed by ATML's
        study.tell(after, [1, 2])
        apart = storage.get_trial(after._trial_id).datetime_complete - before.datetime_start
        assert timedelta(0) < apart < timedelta(minutes=1)

    def test_a_distribution_that_changed_is_refused(self, study, storage):
        for trial in (study.ask(), study.ask()):
            trial._suggest("width", SPACE["width"])
        with pytest.raises(ValueError, match="distribution"):
            study.ask()._suggest("width", SPACE["learning_rate"])


@on_both_databases
def test_dead_trials_are_looked_for_once_a_second_not_before_every_trial(study, storage):
    statements = []
    sqlalchemy.event.listen(
        storage.engine, "before_cursor_execute", lambda *event: statements.append(event[2])
    )
    for _ in range(5):
        storage._get_stale_trial_ids(study._study_id)
    assert sum("now" in statement or "CURRENT_TIMESTAMP" in statement for statement in statements) == 1


def test_on_sqlite_reading_does_not_wait_for_a_writer(tmp_path):
    url = f"sqlite:///{tmp_path / 'atml.db'}"
    study = optuna.create_study(storage=open_storage(url), study_name="first")
    study.enqueue_trial({"width": 4})
    writer = sqlite3.connect(tmp_path / "atml.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("DELETE FROM trials")
    (queued,) = study.trials
    assert queued.system_attrs["fixed_params"] == {"width": 4}
    assert study.user_attrs == {}
    writer.execute("ROLLBACK")
    writer.close()
