"""WFDB records, written by wfdb, as segments."""

import json
import os
import signal
import sys
import warnings
from importlib.util import find_spec

import numpy as np
import pytest

from atml.ecg import check_directory, load_dataset
from atml.ecg.importing import import_recordings
from atml.ecg.provenance import read_index, read_provenance
from atml.errors import CannotWrite, DataError, NoSegments
from tests.recordings import sine, write_frames, write_wfdb

pytestmark = pytest.mark.skipif(find_spec("wfdb") is None, reason="pip install 'atml[formats]'")


@pytest.fixture
def db(tmp_path):
    """Five records of four people, at five rates."""
    for name, rate_hz in (("1_1", 128), ("1_2", 200), ("2_1", 250), ("3_1", 360), ("4_1", 1000)):
        write_wfdb(tmp_path / "db", f"data_{name}", rate_hz=rate_hz)
    return tmp_path / "db"


PATIENT = "data_([0-9]+)_"


class TestResult:
    def test_each_rate_gives_the_same_segments(self, db, tmp_path):
        made = import_recordings(db, tmp_path / "out", subject=PATIENT)
        data = load_dataset(tmp_path / "out")
        assert (made.segments, made.rhythms, made.notes) == (35, {"AFIB": 20, "N": 15}, ())
        assert (len(data), data.segment_length, int(data.labels.sum())) == (35, 1250, 20)
        assert set(data.subjects) == {"S1", "S2", "S3", "S4"}
        peak = np.ptp(data.samples()[:, 250:1000], axis=1) / 2
        assert peak == pytest.approx(np.ones(35), abs=0.02)

    def test_index_has_record_and_time_of_each_segment_in_order(self, db, tmp_path):
        import_recordings(db, tmp_path / "out", subject=PATIENT)
        index = read_index(tmp_path / "out")
        assert {one.file for one in index} == set(load_dataset(tmp_path / "out").files)
        first = [one for one in index if one.record == "data_1_1"]
        assert [one.start_seconds for one in first] == [0, 5, 10, 18.3, 23.3, 28.3, 33.3]
        assert [one.file for one in first][2:4] == ["S1-N-2.txt", "S1-AFIB-3.txt"]
        second = [one.file for one in index if one.record == "data_1_2"]
        assert second[0] == "S1-N-7.txt"

    def test_provenance_says_what_was_done(self, db, tmp_path):
        import_recordings(db, tmp_path / "out", subject=PATIENT, origin="our ward", licence="none")
        known = read_provenance(tmp_path / "out")
        assert (known["origin"], known["licence"], known["positive_rhythms"]) == (
            "our ward",
            "none",
            ["AFIB"],
        )
        assert known["subjects"]["S1"] == {"person": "1", "records": ["data_1_1", "data_1_2"]}
        assert [one["rate_hz"] for one in known["records"]] == [128, 200, 250, 360, 1000]
        assert {(one["channel"], one["unit"]) for one in known["records"]} == {("II", "mV")}
        assert "0.5 to 50 Hz" in known["filter"]
        assert json.loads((tmp_path / "out" / "provenance.json").read_text()) == known

    def test_extra_files_are_ignored_by_whoever_reads_the_segments(self, db, tmp_path):
        import_recordings(db, tmp_path / "out", subject=PATIENT)
        report = check_directory(tmp_path / "out")
        assert (report.problems, report.ignored) == ((), ("provenance.json", "segments.csv"))

    def test_same_recordings_give_the_same_files(self, db, tmp_path):
        for name in ("a", "b"):
            import_recordings(db, tmp_path / name, subject=PATIENT)
        contents = [{p.name: p.read_bytes() for p in (tmp_path / n).iterdir()} for n in ("a", "b")]
        assert contents[0] == contents[1]

    def test_a_longer_step_takes_fewer_segments_but_some_of_each_rhythm(self, db, tmp_path):
        made = import_recordings(db, tmp_path / "out", subject=PATIENT, step_seconds=60)
        assert made.rhythms == {"N": 5, "AFIB": 5}

    def test_progress_reaches_the_total(self, db, tmp_path):
        seen = []
        import_recordings(db, tmp_path / "out", progress=lambda done, total: seen.append((done, total)))
        assert seen == [(n, 5) for n in range(1, 6)]


class TestSubjects:
    def test_records_that_look_like_one_person_are_pointed_out(self, db, tmp_path):
        made = import_recordings(db, tmp_path / "out")
        assert len(made.subjects) == 5
        (note,) = made.notes
        assert "data_1_1, data_1_2 look like records of one" in note
        again = import_recordings(db, tmp_path / "again", subject="(.+)[_:-][0-9]+$")  # as the note says
        assert len(again.subjects) == 4
        assert again.notes == ()

    def test_a_person_has_the_same_number_in_every_import(self, tmp_path):
        for folder, names in (("a", ["kim_x9y8", "04015"]), ("b", ["anna", "kim_x9y8", "04015"])):
            for name in names:
                write_wfdb(tmp_path / folder, name, signal=sine(250, 25))
        one, two = (import_recordings(tmp_path / n, tmp_path / f"{n}-out") for n in ("a", "b"))
        numbers = [{r.person: r.subject for r in made.records} for made in (one, two)]
        assert numbers[0].items() < numbers[1].items()
        assert numbers[0]["04015"] == "S4015"
        assert len(set(numbers[1].values())) == 3

    def test_equal_numbers_of_different_people_are_not_merged(self, tmp_path):
        for name in ("a7", "b7"):
            write_wfdb(tmp_path / "db", name)
        assert len(import_recordings(tmp_path / "db", tmp_path / "out").subjects) == 2

    def test_a_pattern_that_finds_nobody_or_is_none_is_refused(self, db, tmp_path):
        with pytest.raises(DataError, match=r"data_1_1: --subject patient\(\.\) finds nothing in its name"):
            import_recordings(db, tmp_path / "out", subject="patient(.)")
        with pytest.raises(DataError, match="not a regular expression"):
            import_recordings(db, tmp_path / "out", subject="data_(")


class TestRhythms:
    def test_rhythms_to_find_are_named_afib_and_the_index_keeps_their_names(self, tmp_path):
        write_wfdb(tmp_path / "db", "r1", rhythms=[(0, "(AFL\0"), (10, "(N"), (20, "(AFIB"), (30, "(SVTA")])
        both = import_recordings(tmp_path / "db", tmp_path / "both", positive=["AFIB", "afl"])
        assert both.positive_segments == 4
        assert load_dataset(tmp_path / "both").labels.sum() == 4
        assert {one.rhythm for one in read_index(tmp_path / "both")} == {"AFL", "N", "AFIB", "SVTA"}
        flutter = import_recordings(tmp_path / "db", tmp_path / "flutter", positive=["AFL"])
        assert flutter.positive_segments == 2 == load_dataset(tmp_path / "flutter").labels.sum()

    def test_annotations_may_have_a_time_resolution_of_their_own(self, tmp_path):
        write_wfdb(tmp_path / "db", "r1", rhythms=[(0, "(N"), (20, "(AFIB")], annotations_hz=500)
        import_recordings(tmp_path / "db", tmp_path / "out")
        found = [one.start_seconds for one in read_index(tmp_path / "out") if one.rhythm == "AFIB"]
        assert found == [20, 25, 30, 35]

    def test_a_note_on_the_st_segment_is_no_rhythm(self, tmp_path):
        wfdb = pytest.importorskip("wfdb")
        write_wfdb(tmp_path / "db", "r1", rhythms=())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # wfdb's own use of pandas
            wfdb.wrann(
                *("r1", "atr", np.array([10, 5000]), ["+", "s"]),
                aux_note=["(AFIB", "(ST1+"],
                fs=250,
                write_dir=str(tmp_path / "db"),
            )
        import_recordings(tmp_path / "db", tmp_path / "out")
        assert {one.rhythm for one in read_index(tmp_path / "out")} == {"AFIB"}

    def test_nothing_is_known_before_the_first_annotation(self, tmp_path):
        write_wfdb(tmp_path / "db", "r1", rhythms=[(20, "(AFIB")])
        import_recordings(tmp_path / "db", tmp_path / "out")
        assert [one.start_seconds for one in read_index(tmp_path / "out")] == [20, 25, 30, 35]

    @pytest.mark.parametrize(
        ("label", "rhythms", "expected"),
        [
            ("non atrial fibrillation", (), {"N": 8}),
            ("persistent atrial fibrillation", (), {"AFIB": 8}),
            ("persistent atrial fibrillation", [(1, "(AFL"), (40, "(N")], {"AFL": 8}),
            # "(N" marks only the end of an episode.
            ("paroxysmal atrial fibrillation", [(10, "(AFIB"), (20, "(N")], {"AFIB": 2, "N": 6}),
        ],
    )
    def test_labels_of_whole_records_as_in_cpsc2021(self, tmp_path, label, rhythms, expected):
        write_wfdb(tmp_path / "db", "data_1_1", rhythms=rhythms, comments=[label])
        assert import_recordings(tmp_path / "db", tmp_path / "out").rhythms == expected

    def test_a_missing_rhythm_to_find_is_pointed_out(self, tmp_path):
        write_wfdb(tmp_path / "db", "r1", rhythms=[(0, "(N")])
        (note,) = import_recordings(tmp_path / "db", tmp_path / "out").notes
        assert "no segment has the rhythm to find, AFIB" in note


class TestChannels:
    @pytest.mark.parametrize(("lead", "times"), [(None, 2), ("V1", 3), ("v1", 3), ("0", 1)])
    def test_a_lead_is_named_or_numbered_or_the_first_that_is_an_ecg(self, tmp_path, lead, times):
        write_wfdb(tmp_path / "db", "r1", leads=["RESP", "MLII", "V1"])
        import_recordings(tmp_path / "db", tmp_path / "out", lead=lead)
        samples = load_dataset(tmp_path / "out").samples()[:, 250:1000]
        assert np.ptp(samples) / 2 == pytest.approx(times, rel=0.02)

    def test_microvolts_become_millivolts(self, tmp_path):
        write_wfdb(tmp_path / "db", "r1", signal=1000 * sine(250, 40), unit="uV")
        import_recordings(tmp_path / "db", tmp_path / "out")
        assert np.ptp(load_dataset(tmp_path / "out").samples()[:, 250:1000]) == pytest.approx(2, rel=0.02)

    def test_a_channel_with_several_samples_in_a_frame_keeps_its_rate(self, tmp_path):
        write_wfdb(tmp_path / "db", "r1", rate_hz=62, rhythms=[(0, "(AFIB")])
        leads = {"RESP": sine(62, 40, 1), "II": sine(248, 40, 40)}
        write_frames(tmp_path / "db", "r1", rate_hz=62, leads=leads)
        made = import_recordings(tmp_path / "db", tmp_path / "out")
        assert [(one.rate_hz, one.seconds, one.segments) for one in made.records] == [(248, 40, 8)]
        spectrum = np.abs(np.fft.rfft(load_dataset(tmp_path / "out").samples()[0]))
        assert np.argmax(spectrum) / 5 == 40  # Hz

    def test_several_segments_are_one_record(self, tmp_path):
        for name in ("p_a", "p_b"):
            write_wfdb(tmp_path / "db", name, signal=sine(250, 20), rhythms=())
        write_wfdb(tmp_path / "db", "p", signal=sine(250, 40), rhythms=[(0, "(AFIB")])
        (tmp_path / "db" / "p.hea").write_text("p/2 1 250 10000\np_a 5000\np_b 5000\n")
        made = import_recordings(tmp_path / "db", tmp_path / "out")
        assert [(one.record, one.seconds, one.segments) for one in made.records] == [("p", 40, 8)]


def damage_dat(folder):
    path = folder / "bad.dat"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damage_hea(folder):
    (folder / "bad.hea").write_text("not a header\n")


def damage_atr(folder):
    path = folder / "bad.atr"
    path.write_bytes(path.read_bytes()[:-3])


def no_rate(folder):
    path = folder / "bad.hea"
    path.write_text(path.read_text().replace(" 250 ", " 0 ", 1))


DAMAGE = {
    "signal": (damage_dat, "bad: its signal file bad.dat is damaged or shorter than bad.hea says"),
    "no signal": (lambda f: (f / "bad.dat").unlink(), "bad: its signal file bad.dat is missing"),
    "header": (damage_hea, "bad: bad.hea is not a WFDB header"),
    "annotations": (damage_atr, "bad: bad.atr is not a WFDB annotation file"),
    "no annotations": (lambda f: (f / "bad.atr").unlink(), "bad: no rhythm is known: neither a rhythm in"),
    "empty annotations": (lambda f: (f / "bad.atr").write_bytes(b""), "bad: no rhythm is known"),
    "no rate": (no_rate, "bad: bad.hea names no sampling rate"),
    "another lead": (
        lambda f: write_wfdb(f, "bad", leads=["V5"]),
        "bad: has no channel II, but 0 V5; choose another with --lead",
    ),
}


class TestDamage:
    @pytest.mark.parametrize("what", DAMAGE)
    def test_a_damaged_record_is_named_and_can_be_left_out(self, tmp_path, what):
        damage, sentence = DAMAGE[what]
        write_wfdb(tmp_path / "db", "good1")
        write_wfdb(tmp_path / "db", "bad")
        damage(tmp_path / "db")
        with pytest.raises(DataError) as error:
            import_recordings(tmp_path / "db", tmp_path / "out", lead="II")
        assert "1 of 2 records" in str(error.value)
        assert sentence in str(error.value)
        assert "--skip-bad" in str(error.value)
        assert [path.name for path in tmp_path.iterdir()] == ["db"]
        made = import_recordings(tmp_path / "db", tmp_path / "out", lead="II", skip_bad=True)
        assert [one.record for one in made.records] == ["good1"]
        (skipped,) = made.skipped
        assert sentence in str(skipped)
        assert read_provenance(tmp_path / "out")["skipped"][0]["record"] == "bad"

    def test_a_channel_without_a_name_is_read_if_it_is_the_only_one(self, tmp_path):
        write_wfdb(tmp_path / "db", "r1")
        path = tmp_path / "db" / "r1.hea"
        path.write_text(path.read_text().replace(" II\n", "\n"))
        made = import_recordings(tmp_path / "db", tmp_path / "out")
        assert made.segments > 0
        assert made.records[0].channel == ""

    def test_the_name_of_a_part_may_be_no_file_name(self, tmp_path):
        write_wfdb(tmp_path / "db", "r1")
        (tmp_path / "db" / "bad.hea").write_text("bad/1 1 250 1000\na/b\\c 1000\n")
        with pytest.raises(DataError, match="bad: "):
            import_recordings(tmp_path / "db", tmp_path / "out")

    def test_an_annotator_and_a_lead_may_be_nonsense(self, tmp_path):
        write_wfdb(tmp_path / "db", "r1")
        with pytest.raises(DataError, match="no rhythm is known"):
            import_recordings(tmp_path / "db", tmp_path / "out", annotator="../../etc")
        with pytest.raises(DataError, match="has no channel 9999"):
            import_recordings(tmp_path / "db", tmp_path / "out", lead="9" * 5000)

    def test_gaps_cost_the_segments_they_touch_and_are_told(self, tmp_path):
        signal = sine(250, 40)
        signal[3000:3500] = np.nan  # 12 to 14 s
        write_wfdb(tmp_path / "db", "r1", signal=signal, rhythms=[(0, "(AFIB")])
        (note,) = import_recordings(tmp_path / "db", tmp_path / "out").notes
        assert note == "r1: 2.0 s without signal; no segment touches them"
        assert [one.start_seconds for one in read_index(tmp_path / "out")] == [0, 5, 14, 19, 24, 29, 34]

    def test_a_record_too_short_is_told(self, tmp_path):
        write_wfdb(tmp_path / "db", "r1")
        write_wfdb(tmp_path / "db", "r2", signal=sine(250, 4), rhythms=[(0, "(N")])
        made = import_recordings(tmp_path / "db", tmp_path / "out")
        assert made.notes == ("r2: no 5 s of one rhythm; left out",)

    def test_annotations_without_a_signal_are_no_damage(self, tmp_path):
        write_wfdb(tmp_path / "db", "r1")
        (tmp_path / "db" / "00735.hea").write_text("00735 0 250 9205760\n")
        made = import_recordings(tmp_path / "db", tmp_path / "out")
        assert made.notes == ("00735: has no signal; left out",)

    def test_nothing_usable_is_one_message(self, tmp_path):
        write_wfdb(tmp_path / "db", "r2", signal=sine(250, 4), rhythms=[(0, "(N")])
        with pytest.raises(DataError, match=r"no segment could be made .*\n.*r2: no 5 s of one rhythm"):
            import_recordings(tmp_path / "db", tmp_path / "out")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_an_unreadable_file_is_named(self, db, tmp_path):
        (db / "data_2_1.dat").chmod(0)
        with pytest.raises(DataError, match="data_2_1"):
            import_recordings(db, tmp_path / "out")

    def test_nothing_to_import_is_one_message(self, tmp_path):
        (tmp_path / "empty").mkdir()
        with pytest.raises(NoSegments, match="holds no recording"):
            import_recordings(tmp_path / "empty", tmp_path / "out")
        with pytest.raises(NoSegments, match="does not exist"):
            import_recordings(tmp_path / "nowhere", tmp_path / "out")

    def test_wrong_options_are_refused(self, db, tmp_path):
        for options, text in (
            ({"positive": [" "]}, "--positive names no rhythm"),
            ({"step_seconds": 0}, "--step must be more than 0"),
            ({"step_seconds": float("inf")}, "--step must be more than 0 and at most 86400 seconds"),
            ({"source_format": "mat"}, "--format takes one of wfdb, edf"),
        ):
            with pytest.raises(DataError, match=text):
                import_recordings(db, tmp_path / "out", **options)

    def test_a_missing_package_is_named_with_what_to_install(self, db, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "wfdb", None)
        with pytest.raises(DataError, match=r"wfdb files needs .* wfdb .*pip install 'atml\[formats\]'"):
            import_recordings(db, tmp_path / "out")


class TestWriting:
    def test_an_interrupted_import_leaves_nothing(self, db, tmp_path):
        def interrupt(done, total):
            if done == 3:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            import_recordings(db, tmp_path / "out", progress=interrupt)
        assert [path.name for path in tmp_path.iterdir()] == ["db"]

    def test_a_directory_with_something_in_it_is_left_alone(self, db, tmp_path):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "thesis.txt").write_text("precious")
        with pytest.raises(DataError, match="out exists and is not an empty directory"):
            import_recordings(db, tmp_path / "out")
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]

    def test_an_unwritable_place_is_named(self, db, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(CannotWrite, match="file/inside"):
            import_recordings(db, tmp_path / "file" / "inside")

    def test_ctrl_c_is_not_lost_where_wfdb_ignores_every_error(self, db, tmp_path, monkeypatch):
        from wfdb.io import record

        read = record.rdheader

        def interrupted(*arguments, **options):
            if len(arguments) == 2:  # from rdann
                signal.raise_signal(signal.SIGINT)
            return read(*arguments, **options)

        monkeypatch.setattr(record, "rdheader", interrupted)
        with pytest.raises(KeyboardInterrupt):
            import_recordings(db, tmp_path / "out")
        assert [path.name for path in tmp_path.iterdir()] == ["db"]
