import pytest
from optuna.trial import TrialState
from optuna_dashboard import get_note, save_note

from atml.dashboard import note as notes
from atml.dashboard.note import NoteKeeper, note, with_remarks_of
from atml.service.studies import create_or_resume
from atml.tuning import stop
from atml.tuning.outcome import outcome


@pytest.fixture
def stored(storage, dataset, make_phase2):
    phase = make_phase2(targets={"fbeta": 0.9, "onnx_bytes": 2000}, search={"sizes": [12_000]})
    return create_or_resume(storage, phase, dataset)


@pytest.fixture
def add(stored, make_trial):
    def add(fbeta, onnx_bytes):
        trial = make_trial(
            architecture="optimized_afnet",
            curve=(fbeta,),
            onnx_bytes=onnx_bytes,
            directions=2,
        )
        stored.study.add_trial(trial)
        return stored.study.get_trials()[-1]

    return add


def text(stored):
    return note(outcome(stored.snapshot()))


class TestNote:
    def test_without_a_model_it_says_so(self, stored):
        assert text(stored).startswith(
            "**No model yet; targets not met yet in the search (F-beta ≥ 0.9, ONNX ≤ 2.0 KB)**\n\n"
            "- no trial has finished yet\n"
        )

    def test_it_answers_whether_the_targets_are_met_and_lists_the_front(self, stored, add):
        add(0.95, 3000)
        best = add(0.92, 1500)
        add(0.80, 1600)  # not on the front
        lines = text(stored).splitlines()
        assert lines[0] == (
            "**Targets met in the search (F-beta ≥ 0.9, ONNX ≤ 2.0 KB): "
            f"trial {best.number} with F-beta 0.9200 and 1.5 KB; 0.0200 and 0.5 KB to spare**"
        )
        front = [line for line in lines if line.startswith(f"| {best.number} |") or "| 0.9" in line]
        assert len(front) == 2
        assert front[0].endswith("| met |")
        assert front[1].endswith("| misses onnx_bytes |")
        assert "0.8000" not in text(stored)

    def test_missed_targets_come_with_the_nearest_model_and_what_to_relax(self, stored, add):
        add(0.85, 1500)
        assert (
            "**Targets not met yet in the search (F-beta ≥ 0.9, ONNX ≤ 2.0 KB): fbeta; nearest is trial 0 "
            "with F-beta 0.8500 and 1.5 KB**" in text(stored)
        )
        reason = stop.Stop(by=stop.StoppedBy.BUDGET, because="all 4 trials are trained")
        stop.request_stop(stored.study, reason)
        assert "**Targets missed" in text(stored)
        assert "- to relax: the search's best F-beta within the size target is 0.8500" in text(stored)
        assert text(stored).endswith("ended because all 4 trials are trained")

    def test_phase_1_lists_the_best_trial_of_each_architecture(
        self, storage, dataset, make_phase1, make_trial
    ):
        stored = create_or_resume(storage, make_phase1(), dataset)
        for architecture, fbeta in (("linear", 0.5), ("linear", 0.6), ("conv_gru", 0.9)):
            stored.study.add_trial(make_trial(architecture=architecture, curve=(fbeta,)))
        lines = text(stored).splitlines()
        assert lines[0] == "**Best so far is trial 2 with F-beta 0.9000 and 1.0 KB; no targets are set**"
        rows = [line for line in lines if "0.01 |" in line]
        assert [row.split(" | ")[1] for row in rows] == ["0.9000", "0.6000"]

    def test_a_trial_that_has_not_finished_the_race_meets_no_target_yet(self, stored, make_trial):
        left = {"state": TrialState.PRUNED, "pruned_by": "race", "curve": (0.96,), "directions": 2}
        stored.study.add_trial(make_trial(by_fold=(0.96,), onnx_bytes=1500, **left))
        noted = text(stored)
        assert ": no trial has finished the race; nearest is trial 0 with F-beta 0.9600 and 1.5 KB**" in noted
        assert "| not on all folds yet |" in noted

    def test_without_targets_no_trial_of_the_front_is_judged(self, storage, dataset, make_phase2, make_trial):
        phase = make_phase2(targets={"fbeta": None, "onnx_bytes": None})
        stored = create_or_resume(storage, phase, dataset)
        stored.study.add_trial(make_trial(architecture="optimized_afnet", curve=(0.9,), directions=2))
        assert "| – |" in text(stored)
        assert "| met |" not in text(stored)

    def test_a_long_front_fits_into_one_attribute(self, stored, add):
        for step in range(30):
            add(0.5 + step / 100, 1000 + step)
        whole = with_remarks_of("", text(stored))
        assert "and 20 more" in whole
        assert len(whole) <= 2045  # what optuna-dashboard writes at a time


class TestRemarks:
    def test_what_people_wrote_is_kept_below_the_line_however_often_it_is_updated(self):
        first = with_remarks_of("My own words.", "one")
        second = with_remarks_of(first + "\nMore words.", "two")
        assert second.startswith(f"two\n\n---\n{notes.LINE}\n\nMy own words.\n\nMore words.")
        assert "one" not in second

    def test_without_remarks_updating_changes_nothing_else(self):
        assert with_remarks_of(with_remarks_of("", "one"), "one") == with_remarks_of("", "one")


class TestNoteKeeper:
    @pytest.fixture(autouse=True)
    def _at_once(self, monkeypatch):
        monkeypatch.setattr(notes, "LEAST_SECONDS_BETWEEN", 0.0)

    def test_a_trial_on_the_front_is_noted_another_is_not(self, stored, add):
        keeper = NoteKeeper(stored.study, stored.snapshot)
        keeper.update(add(0.92, 1500).number)
        noted = get_note(stored.study)
        assert "0.9200" in noted
        keeper.update(add(0.80, 1600).number)
        assert get_note(stored.study) == noted
        keeper.finish()
        assert "2 trained" in get_note(stored.study)

    def test_the_best_of_another_architecture_is_noted_too(self, storage, dataset, make_phase1, make_trial):
        stored = create_or_resume(storage, make_phase1(), dataset)
        keeper = NoteKeeper(stored.study, stored.snapshot)
        for architecture, fbeta in (("linear", 0.9), ("conv_gru", 0.5), ("conv_gru", 0.6)):
            stored.study.add_trial(make_trial(architecture=architecture, curve=(fbeta,)))
            keeper.update(stored.study.get_trials()[-1].number)
            assert f"{fbeta:.4f}" in get_note(stored.study)

    def test_within_seconds_the_next_is_put_off_not_lost(self, stored, add, monkeypatch):
        keeper = NoteKeeper(stored.study, stored.snapshot)
        monkeypatch.setattr(notes, "LEAST_SECONDS_BETWEEN", 3600.0)
        keeper.update(add(0.92, 1500).number)
        keeper.update(add(0.95, 1400).number)
        assert "0.9500" not in get_note(stored.study)
        keeper._not_before = 0.0
        keeper.update(add(0.10, 1400).number)
        assert "0.9500" in get_note(stored.study)

    def test_a_remark_made_in_the_dashboard_stays(self, stored, add):
        save_note(stored.study, "Look at subject 12.")
        NoteKeeper(stored.study, stored.snapshot).update(add(0.92, 1500).number)
        assert "0.9200" in get_note(stored.study)
        assert get_note(stored.study).endswith("Look at subject 12.\n")
