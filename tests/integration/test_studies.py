import signal
import subprocess
import sys
from datetime import datetime, timedelta

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from atml.errors import SpecChanged, SpecError, StudyError, TooFewSubjects, UnknownStudy
from atml.search import records, stop
from atml.search.processes import this_process
from atml.service.studies import create_or_resume, fail_orphans, load, load_all, resolve_base, study_names
from tests.databases import on_both_databases

pytestmark = on_both_databases

WAITING, RUNNING, FAIL = TrialState.WAITING, TrialState.RUNNING, TrialState.FAIL


@pytest.fixture
def create(storage, dataset):
    return lambda phase, data=dataset, **options: create_or_resume(storage, phase, data, **options)


class TestCreate:
    def test_a_new_study_holds_its_spec_its_data_and_every_first_point(self, create, make_phase1, dataset):
        phase = make_phase1()
        stored = create(phase)
        assert stored.phase == phase
        assert (stored.data.segments, stored.data.fingerprint) == (len(dataset), dataset.fingerprint)
        queued = [trial.system_attrs["fixed_params"] for trial in stored.study.get_trials()]
        assert queued == phase.first_points()
        assert {point["architecture"] for point in queued} == {"linear", "optimized_afnet"}
        assert stored.study.metric_names == ["fbeta"]

    def test_a_phase_2_begins_with_its_base_and_that_scaled(self, create, make_phase2):
        stored = create(make_phase2())
        queued = [trial.system_attrs["fixed_params"] for trial in stored.study.get_trials()]
        assert queued[0] == {"channels": 8}
        assert all(2 <= point["channels"] <= 12 for point in queued)
        assert len({point["channels"] for point in queued}) == len(queued) > 2

    def test_too_few_subjects_are_refused_before_the_study_exists(self, create, make_phase1, storage):
        with pytest.raises(TooFewSubjects, match="Use fewer folds"):
            create(make_phase1(data={"folds": 50}))
        assert study_names(storage) == []

    def test_a_study_whose_creator_was_killed_is_made_anew(self, create, make_phase1, storage):
        phase = make_phase1()
        half_made = optuna.create_study(storage=storage, study_name=phase.name)
        half_made.enqueue_trial({"architecture": "linear", "learning_rate": 0.01})
        stored = create(phase)
        assert len(stored.study.trials) == len(phase.first_points())

    def test_a_study_of_someone_else_with_that_name_is_left_alone(self, create, make_phase1, storage):
        phase = make_phase1()
        foreign = optuna.create_study(storage=storage, study_name=phase.name)
        foreign.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
        with pytest.raises(StudyError, match="not made by ATML"):
            create(phase)
        assert len(foreign.trials) == 1

    def test_studies_of_others_in_the_storage_are_passed_over(self, create, make_phase1, storage):
        optuna.create_study(storage=storage, study_name="foreign")
        stored = create(make_phase1())
        assert [one.study.study_name for one in load_all(storage)] == [stored.study.study_name]


class TestResume:
    def test_the_same_spec_takes_the_study_up_as_it_is(self, create, make_phase1):
        first = create(make_phase1())
        trials = len(first.study.trials)
        again = create(make_phase1())
        assert again.study.study_name == first.study.study_name
        assert len(again.study.trials) == trials

    def test_a_changed_spec_is_refused_with_every_field_that_differs(self, create, make_phase1):
        create(make_phase1())
        with pytest.raises(SpecChanged) as caught:
            create(make_phase1(training={"epochs": 9}, budget={"trials": 9}), extend=True)
        message = str(caught.value)
        assert "training.epochs: 2 → 9" in message
        assert "budget.trials: 4 → 9" in message
        assert "give the new study another name" in message

    def test_a_longer_budget_or_other_targets_need_but_a_word(self, create, make_phase1):
        stored = create(make_phase1())
        stop.put_up(stored.study, stop.Stop(by=stop.StoppedBy.BUDGET, because="all trials are trained"))
        changed = make_phase1(budget={"trials": 9}, targets={"fbeta": 0.5})
        with pytest.raises(SpecChanged, match="add --extend"):
            create(changed)
        assert stop.read(stored.study) is not None
        extended = create(changed, extend=True)
        assert extended.phase.budget.trials == 9
        assert stop.read(extended.study) is None
        assert create(changed).phase == extended.phase  # from now on this is the spec

    def test_other_data_are_refused(self, create, make_phase1, dataset):
        create(make_phase1())
        fewer = dataset.select(np.arange(len(dataset) - 1))
        with pytest.raises(SpecChanged, match=r"other data: .* \(240 segments.*\(239 segments"):
            create(make_phase1(), fewer)

    def test_the_same_data_elsewhere_are_the_same(self, create, make_phase1):
        create(make_phase1())
        assert create(make_phase1(data={"train": "/elsewhere"})).phase == make_phase1()


class TestLoad:
    def test_an_unknown_study_lists_those_there_are(self, storage, create, make_phase1):
        with pytest.raises(UnknownStudy, match="no study 'x' in this storage; it has none yet"):
            load(storage, "x")
        create(make_phase1())
        create(make_phase1(name="another"))
        with pytest.raises(UnknownStudy, match="it has first, another"):
            load(storage, "x")

    def test_a_study_of_someone_else_is_refused(self, storage):
        optuna.create_study(storage=storage, study_name="theirs")
        with pytest.raises(StudyError, match="not made by ATML"):
            load(storage, "theirs")


class TestBase:
    def test_phase_2_takes_architecture_and_learning_rate_from_the_best_of_phase_1(
        self, storage, create, make_phase1, make_phase2, make_trial
    ):
        base = create(make_phase1()).study
        phase2 = make_phase2(base={"architecture": None, "learning_rate": None, "study": "first"})
        with pytest.raises(StudyError, match="'first' has no finished trial yet to base 'second' on"):
            create(phase2)
        with pytest.raises(UnknownStudy, match="'nowhere'"):
            resolve_base(storage, make_phase2(base={"architecture": None, "study": "nowhere"}))
        assert "second" not in study_names(storage)
        stop.put_up(base, stop.Stop(by=stop.StoppedBy.ERRORS, because="all trials ended with an error"))
        with pytest.raises(StudyError, match="on: it has ended because all trials ended with an error"):
            create(phase2)
        stop.take_down(base)

        def add(architecture, rate, fbeta):
            base.add_trial(make_trial(architecture=architecture, learning_rate=rate, curve=(fbeta,)))

        add("linear", 0.02, 0.6)
        add("optimized_afnet", 0.05, 0.7)
        best = len(base.trials) - 1
        found = create(phase2).phase.base
        assert (found.architecture, found.learning_rate) == ("optimized_afnet", 0.05)
        assert (found.study, found.trial) == ("first", best)
        # Phase 1 goes on, but the phase 2 that has begun keeps to its base.
        add("linear", 0.03, 0.99)
        assert create(phase2).phase.base == found

    def test_a_learning_rate_of_its_own_is_kept(self, create, make_phase1, make_phase2, make_trial):
        create(make_phase1()).study.add_trial(make_trial(architecture="optimized_afnet", curve=(0.6,)))
        phase2 = make_phase2(base={"architecture": None, "learning_rate": 0.07, "study": "first"})
        assert create(phase2).phase.base.learning_rate == 0.07

    def test_an_architecture_without_widths_is_never_handed_to_phase_2(
        self, storage, create, make_phase1, make_phase2, make_trial
    ):
        base = create(make_phase1()).study
        phase2 = make_phase2(base={"architecture": None, "learning_rate": None, "study": "first"})
        base.add_trial(make_trial(architecture="linear", curve=(0.99,)))
        with pytest.raises(StudyError, match="no finished trial to base 'second' on: linear has no widths"):
            create(phase2)
        base.add_trial(make_trial(architecture="conv_gru", curve=(0.5,)))
        base.add_trial(make_trial(architecture="optimized_afnet", curve=(0.7,)))
        best = len(base.trials) - 1
        found = create(phase2).phase.base
        assert (found.architecture, found.trial) == ("optimized_afnet", best)

    def test_a_base_without_widths_is_refused_by_name(self, storage, create, make_phase2):
        with pytest.raises(SpecError, match=r"`base\.architecture`: linear has no widths to search"):
            create(make_phase2(base={"architecture": "linear"}))
        assert study_names(storage) == []


BEGINS = """
import os, signal, sys
from atml.search import records
from atml.search.processes import this_process
from atml.service.storage import open_storage
from atml.service.studies import load

stored = load(open_storage(sys.argv[1]), "first")

def objective(trial):
    trial.set_user_attr(records.WORKER, this_process().to_dict())
    if sys.argv[2] == "suggests":
        stored.phase.suggest(trial)
    print("begun", flush=True)
    signal.pause()

stored.study.optimize(objective, n_trials=1)
"""


class TestOrphans:
    @pytest.mark.parametrize("last_act", ["suggests", "starts"])
    def test_a_trial_of_a_killed_process_is_closed_and_queued_again_once(
        self, create, make_phase1, storage_url, last_act
    ):
        study = create(make_phase1()).study
        point = study.trials[0].system_attrs["fixed_params"]
        with subprocess.Popen(
            [sys.executable, "-c", BEGINS, storage_url, last_act], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout.readline() == "begun\n"
            assert fail_orphans(study) == 0  # its process lives
            process.send_signal(signal.SIGKILL)
        assert study.trials[0].state == RUNNING
        assert fail_orphans(study) == 1
        assert fail_orphans(study) == 0
        assert [trial.state for trial in study.trials] == [FAIL, WAITING, WAITING]
        assert study.trials[-1].system_attrs["fixed_params"] == point
        assert study.trials[-1].user_attrs[records.RETRY_OF] == 0

    @pytest.mark.parametrize("worker", [{"host": "another-machine", "pid": 1}, this_process().to_dict()])
    def test_a_trial_of_another_machine_or_a_living_process_is_left_alone(
        self, create, make_phase1, make_trial, worker
    ):
        study = create(make_phase1()).study
        study.add_trial(make_trial(state=RUNNING, worker=worker))
        assert fail_orphans(study) == 0
        assert study.trials[-1].state == RUNNING

    @pytest.mark.parametrize(("seconds", "orphans"), [(5, 0), (600, 1)])
    def test_a_trial_without_a_worker_is_given_time_to_name_it(
        self, create, make_phase1, make_trial, seconds, orphans
    ):
        study = create(make_phase1()).study
        claimed = make_trial(state=RUNNING)
        claimed.datetime_start = datetime.now() - timedelta(seconds=seconds)
        study.add_trial(claimed)
        assert fail_orphans(study) == orphans
