import os
import threading
from dataclasses import replace
from typing import ClassVar

import numpy as np
import optuna
import pytest
import sqlalchemy

from atml.errors import AtmlError, SpecChanged, StorageError, StudyError, TooFewSubjects, UnknownStudy
from atml.service import studies
from atml.service.storage import open_storage
from atml.service.studies import (
    begin,
    check_trials,
    create_or_resume,
    load,
    load_all,
    resolve_base,
)
from atml.service.watch import Watch
from atml.tuning import records, stop
from atml.tuning.phases import phase as phase_module
from atml.tuning.processes import this_process
from tests.conftest import recorded_trial
from tests.databases import close, on_both_databases

pytestmark = on_both_databases


@pytest.fixture
def create(storage, dataset):
    return lambda phase, data=dataset, **options: create_or_resume(storage, phase, data, **options)


class TestCreate:
    def test_a_new_study_holds_its_spec_its_data_and_its_candidates(self, create, make_phase1, dataset):
        phase = make_phase1()
        stored = create(phase)
        assert stored.phase == phase
        assert (stored.data.segments, stored.data.fingerprint) == (len(dataset), dataset.fingerprint)
        assert [one.architecture for one in stored.candidates] == ["linear", "optimized_afnet"]
        assert all(one.onnx_bytes <= 12_000 for one in stored.candidates)
        assert len(stored.grid.points) == 2 * 5
        assert stored.study.trials == []
        assert stored.study.metric_names == ["fbeta"]

    def test_networks_without_c_code_are_told(self, create, make_phase1, monkeypatch):
        class Heard(Watch):
            said: ClassVar[list[str]] = []

            def say(self, text):
                self.said.append(text)

        known = phase_module.with_footprint

        def with_footprint(one, *arguments):
            return one if one.architecture == "linear" else known(one, *arguments)

        monkeypatch.setattr(phase_module, "with_footprint", with_footprint)
        create(make_phase1(), watch=Heard())
        assert Heard.said == ["No C code can be generated for the INT8 networks of linear"]

    def test_every_worker_compares_the_same_networks(self, create, make_phase2, storage):
        stored = create(make_phase2())
        assert stored.study.metric_names == ["fbeta", "onnx_bytes"]
        again = load(storage, stored.study.study_name)
        assert again.candidates == stored.candidates
        assert [point.key for point in again.grid.points] == [point.key for point in stored.grid.points]

    def test_too_few_subjects_are_refused_before_the_study_exists(self, create, make_phase1, storage):
        with pytest.raises(TooFewSubjects, match="Use fewer folds"):
            create(make_phase1(data={"folds": 50}))
        assert optuna.get_all_study_names(storage) == []

    def test_a_study_whose_creator_was_killed_is_made_anew(self, create, make_phase1, storage, monkeypatch):
        monkeypatch.setattr(studies, "CREATION_SECONDS", 0.1)
        phase = make_phase1()
        half_made = optuna.create_study(storage=storage, study_name=phase.name)
        half_made.set_user_attr("format", 2)
        stored = create(phase)
        assert stored.study.trials == []
        assert stored.candidates

    def test_two_creators_at_once_get_the_same_study(
        self, storage_url, create, dataset, make_phase1, monkeypatch
    ):
        phase, both = make_phase1(), threading.Barrier(2)
        measure = studies._candidates

        def at_the_same_time(*arguments):
            measured = measure(*arguments)
            both.wait(timeout=60)
            return measured

        monkeypatch.setattr(studies, "_candidates", at_the_same_time)
        found = []

        def create_there():
            other = open_storage(storage_url)
            found.append(create_or_resume(other, phase, dataset).candidates)
            close(other)

        thread = threading.Thread(target=create_there)
        thread.start()
        found.append(create(phase).candidates)
        thread.join()
        assert found[0] == found[1]
        assert len(found[0]) == 2

    def test_a_study_of_someone_else_is_never_deleted(self, create, make_phase1, storage, monkeypatch):
        monkeypatch.setattr(studies, "CREATION_SECONDS", 0.1)
        phase = make_phase1()
        foreign = optuna.create_study(storage=storage, study_name=phase.name)
        foreign.set_user_attr("theirs", 1)
        with pytest.raises(StudyError, match="not made by ATML, or its creation was cut short"):
            create(phase)
        foreign.enqueue_trial({"x": 1})
        with pytest.raises(StudyError, match="not made by ATML"):
            create(phase)
        assert foreign.user_attrs == {"theirs": 1}
        assert len(foreign.trials) == 1

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
        assert [one.study.study_name for one in load_all(storage, lambda name, error: None)] == [
            stored.study.study_name
        ]


class TestResume:
    def test_the_same_spec_takes_the_study_up_as_it_is(self, create, make_phase1):
        first = create(make_phase1())
        first.study.enqueue_trial(first.grid.points[0].params)
        again = create(make_phase1())
        assert again.study.study_name == first.study.study_name
        assert again.candidates == first.candidates
        assert len(again.study.trials) == 1

    def test_a_changed_spec_is_refused_with_every_field_that_differs(self, create, make_phase1):
        create(make_phase1())
        with pytest.raises(SpecChanged) as caught:
            create(make_phase1(training={"epochs": 9}, budget={"trials": 9}), extend=True)
        message = str(caught.value)
        assert "training.epochs: 2 → 9" in message
        assert "budget.trials: 4 → 9" in message
        assert "give the new study another name" in message
        assert "atml finalize" not in message
        assert "its default has changed with ATML: set it to the former value" in message

    def test_who_asks_for_other_sizes_is_told_how_to_ship_them(self, create, make_phase1):
        create(make_phase1())
        with pytest.raises(SpecChanged, match="or ship its models of other sizes with: atml finalize first"):
            create(make_phase1(finalize={"sizes": [5000]}))

    def test_a_longer_budget_or_other_targets_need_but_a_word(self, create, make_phase1):
        stored = create(make_phase1())
        stop.request_stop(stored.study, stop.Stop(by=stop.StoppedBy.BUDGET, because="all trials are trained"))
        changed = make_phase1(budget={"trials": 9}, targets={"fbeta": 0.5})
        with pytest.raises(SpecChanged, match="add --extend"):
            create(changed)
        assert stop.read(stored.study) is not None
        extended = create(changed, extend=True)
        assert extended.phase.budget.trials == 9
        assert stop.read(extended.study) is None
        assert create(changed).phase == extended.phase  # from now on this is the spec

    def test_extending_continues_a_study_that_ended_at_its_old_budget(self, create, make_phase1):
        longer = make_phase1(budget={"trials": 9})
        stored = create(make_phase1())
        assert stored.latest() is stored
        create(longer, extend=True)
        assert stored.latest().phase == longer
        stop.request_stop(stored.study, stop.Stop(by=stop.StoppedBy.BUDGET, because="all trials are trained"))
        assert stop.read(create(longer).study) is not None
        assert stop.read(create(longer, extend=True).study) is None

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

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("spec", None),
            ("spec", []),
            ("spec", {"phase": "joint", "name": 5}),
            ("data", {"directory": "train"}),
            ("data", "train"),
            ("candidates", [["linear"]]),
            ("candidates", [["nothing", {}, 1, 1, 1, 1.0]]),
            ("candidates", 5),
            ("format", "three"),
            (stop.ATTRIBUTE, 5),
            (stop.ATTRIBUTE, {"by": "nobody"}),
        ],
    )
    def test_a_study_changed_by_hand_does_not_hide_the_others(
        self, storage, create, make_phase1, name, value
    ):
        create(make_phase1())
        create(make_phase1(name="broken")).study.set_user_attr(name, value)
        refused = {}
        assert [one.study.study_name for one in load_all(storage, refused.__setitem__)] == ["first"]
        assert list(refused) == ["broken"]
        assert "broken" in str(refused["broken"])
        with pytest.raises(AtmlError):
            load(storage, "broken")

    @pytest.mark.parametrize(
        ("name", "value"),
        [(records.CURVE, [[0, 0.5]]), (records.RESULT, {"fbeta": "high"}), (records.RESULT, 5)],
    )
    def test_a_trial_changed_by_hand_is_told(self, create, make_phase1, name, value):
        stored = create(make_phase1())
        trial = recorded_trial(curve=(0.9,), onnx_bytes=9000)
        trial.user_attrs[name] = value
        stored.study.add_trial(trial)
        with pytest.raises(StudyError, match="study 'first' is damaged: its attributes are not"):
            check_trials(stored)

    def test_an_attribute_that_is_not_json_is_told(self, storage, create, make_phase1):
        create(make_phase1())
        with storage.engine.begin() as connection:
            connection.execute(sqlalchemy.text("UPDATE study_user_attributes SET value_json = '{'"))
        with pytest.raises(StorageError, match="an attribute of a study or a trial is not JSON"):
            load_all(storage, lambda name, error: None)

    def test_a_name_that_is_no_text_is_unknown(self, storage):
        with pytest.raises(UnknownStudy, match="no study"):
            load(storage, "\udcff")

    @pytest.mark.parametrize("name", ["../../../escaped", "a/b", "..", "a\n"])
    def test_a_study_renamed_to_what_leads_out_of_its_folder_is_refused(
        self, storage, create, make_phase1, name
    ):
        attributes = create(make_phase1()).study.user_attrs
        renamed = optuna.create_study(storage=storage, study_name=name)
        for key, value in attributes.items():
            renamed.set_user_attr(key, value)
        with pytest.raises(StudyError, match="rename it again in the dashboard: a name must be 1 to 64"):
            load(storage, name)
        refused = {}
        assert [one.study.study_name for one in load_all(storage, refused.__setitem__)] == ["first"]
        assert list(refused) == [name]

    def test_a_study_of_someone_else_is_refused(self, storage):
        optuna.create_study(storage=storage, study_name="theirs")
        with pytest.raises(StudyError, match="not made by ATML"):
            load(storage, "theirs")

    @pytest.mark.parametrize("attributes", [{}, {"format": 1}, {"format": 4}])
    def test_a_study_of_an_earlier_format_is_refused_in_one_sentence(
        self, storage, create, make_phase1, attributes
    ):
        study = create(make_phase1(name="new")).study
        old = optuna.create_study(storage=storage, study_name="old")
        kept = {name: value for name, value in study.user_attrs.items() if name not in ("format", "spec")}
        for name, value in {**kept, **attributes, "spec": study.user_attrs["spec"]}.items():
            old.set_user_attr(name, value)
        with pytest.raises(StudyError, match="'old' was made by an earlier version of ATML") as caught:
            load(storage, "old")
        assert "\n" not in str(caught.value)
        with pytest.raises(StudyError, match="earlier version of ATML"):
            create(make_phase1(name="old"))


class TestBase:
    def test_phase_2_takes_the_best_architectures_of_phase_1(
        self, storage, create, make_phase1, make_phase2, make_trial
    ):
        base = create(make_phase1()).study
        phase2 = make_phase2(base={"architectures": None, "study": "first", "candidates": 1})
        with pytest.raises(StudyError, match="'first' has no finished trial of an architecture with widths"):
            create(phase2)
        with pytest.raises(UnknownStudy, match="'nowhere'"):
            resolve_base(storage, make_phase2(base={"architectures": None, "study": "nowhere"}))
        assert "second" not in optuna.get_all_study_names(storage)
        stop.request_stop(base, stop.Stop(by=stop.StoppedBy.ERRORS, because="all trials ended with an error"))
        with pytest.raises(StudyError, match="on: it has ended because all trials ended with an error"):
            create(phase2)
        stop.clear_stop(base)

        def add(architecture, fbeta):
            base.add_trial(make_trial(architecture=architecture, curve=(fbeta,)))

        add("linear", 0.9)  # it has no widths
        with pytest.raises(StudyError, match="no finished trial of an architecture with widths"):
            create(phase2)
        add("conv_gru", 0.6)
        add("optimized_afnet", 0.7)
        found = create(phase2)
        assert found.phase.base.architectures == ("optimized_afnet",)
        assert found.grid.architectures == ("optimized_afnet",)
        assert found.phase.base.study == "first"
        # Phase 1 goes on, but the phase 2 that has begun keeps to its base.
        add("conv_gru", 0.99)
        assert create(phase2).phase.base == found.phase.base

    def test_a_phase_2_that_waits_has_no_candidates_until_its_base_has_ended(
        self, storage, create, make_phase1, make_phase2, make_trial
    ):
        base = create(make_phase1()).study
        phase2 = make_phase2(base={"architectures": None, "study": "first"})
        waiting = create(phase2, may_wait=True)
        assert (waiting.waits_for, waiting.candidates) == ("first", ())
        assert begin(storage, waiting) is None
        base.add_trial(make_trial(architecture="optimized_afnet", curve=(0.7,)))
        stop.request_stop(base, stop.Stop(by=stop.StoppedBy.BUDGET, because="all trials are trained"))
        begun = begin(storage, waiting)
        assert begun.waits_for is None
        assert {one.architecture for one in begun.candidates} == {"optimized_afnet"}

    def test_a_phase_2_extended_while_it_begins_keeps_its_new_budget(
        self, storage, create, make_phase1, make_phase2, make_trial, monkeypatch
    ):
        base = create(make_phase1()).study
        waits = {"architectures": None, "study": "first"}
        waiting = create(make_phase2(base=waits), may_wait=True)
        base.add_trial(make_trial(architecture="optimized_afnet", curve=(0.7,)))
        stop.request_stop(base, stop.Stop(by=stop.StoppedBy.BUDGET, because="all trials are trained"))
        longer = make_phase2(base=waits, budget={"trials": 77})
        measure = studies._candidates

        def extend_meanwhile(*arguments):
            waiting.study.set_user_attr(records.SPEC, longer.stored())
            return measure(*arguments)

        monkeypatch.setattr(studies, "_candidates", extend_meanwhile)
        begun = begin(storage, waiting)
        assert (begun.waits_for, begun.phase.budget.trials) == (None, 77)

    def test_a_phase_2_begins_once_on_the_ranking_of_all_trials_of_its_base(
        self, storage, create, make_phase1, make_phase2, make_trial
    ):
        base = create(make_phase1()).study
        base.add_trial(make_trial(architecture="optimized_afnet", curve=(0.7,)))
        last = base.ask()
        worker = replace(this_process(), pid=os.getppid(), started=None)
        last.set_user_attr(records.WORKER, worker.to_dict())
        stop.request_stop(base, stop.Stop(by=stop.StoppedBy.BUDGET, because="all trials are trained"))
        waiting = create(
            make_phase2(base={"architectures": None, "study": "first", "candidates": 1}), may_wait=True
        )
        assert begin(storage, waiting) is None  # the last trial is still being trained
        base.tell(last, state=optuna.trial.TrialState.FAIL)
        begun = begin(storage, waiting)
        base.add_trial(make_trial(architecture="conv_gru", curve=(0.99,)))
        again = begin(storage, waiting)  # a worker that has seen it wait
        assert again.phase.base.architectures == begun.phase.base.architectures == ("optimized_afnet",)
