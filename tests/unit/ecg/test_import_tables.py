"""EDF, CSV, NPZ, Parquet and segment directories as segments."""

import os
import sys
import tracemalloc
from importlib.util import find_spec

import numpy as np
import pytest

from atml.ecg import load_dataset, simulate
from atml.ecg.importing import import_recordings
from atml.ecg.provenance import read_index
from atml.ecg.sources.finding import find_items
from atml.ecg.sources.recording import Reading, rhythm_code
from atml.errors import DataError, NoSegments
from tests.recordings import sine, write_edf

COLUMNS = {"signal": "ecg", "rhythm": "label", "subject": "patient"}
needs_edf = pytest.mark.skipif(find_spec("pyedflib") is None, reason="pip install 'atml[formats]'")
needs_parquet = pytest.mark.skipif(find_spec("pyarrow") is None, reason="pip install 'atml[formats]'")


def starts(folder):
    return [(one.record, one.start_seconds, one.rhythm) for one in read_index(folder)]


def amplitude(folder):
    return np.ptp(load_dataset(folder).samples()[:, 250:1000], axis=1) / 2


def rows(rate_hz=200):
    """Two people; N for 10 s and AFIB for 12 s of each."""
    ecg = np.tile(sine(rate_hz, 22), 2)
    label = (["N"] * (10 * rate_hz) + ["AFIB"] * (12 * rate_hz)) * 2
    patient = [1] * (22 * rate_hz) + [2] * (22 * rate_hz)
    return {"ecg": ecg, "label": label, "patient": patient}


def write_csv(path, columns, delimiter=","):
    lines = [delimiter.join(columns)]
    lines += [delimiter.join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    path.write_text("\n".join(lines) + "\n")


EXPECTED = [("h", 0.0, "N"), ("h", 5.0, "N"), ("h", 10.0, "AFIB"), ("h", 15.0, "AFIB")]


@pytest.mark.parametrize("label", ["AFIB", "(AFIB\0", "(AFIB)", "afib ", "['AFIB']"])
def test_afib_is_recognised_in_brackets_and_quotes(label):
    assert rhythm_code(label) == "AFIB"


def test_a_long_rhythm_has_a_short_code_of_its_own():
    one, other = (rhythm_code("синусовая тахикардия, блокада " + end) for end in "аб")
    assert len(one) == len(other) == 100
    assert one != other


def check_rows(folder):
    data = load_dataset(folder)
    assert [(start, rhythm) for _, start, rhythm in starts(folder)] == [(s, r) for _, s, r in EXPECTED] * 2
    assert sorted(set(data.subjects)) == ["S1", "S2"]
    assert amplitude(folder) == pytest.approx(np.ones(8), abs=0.02)


class TestCsv:
    @pytest.mark.parametrize("delimiter", [",", ";", "\t"])
    def test_a_row_for_each_sample(self, tmp_path, delimiter):
        write_csv(tmp_path / "h.csv", rows(), delimiter)
        import_recordings(tmp_path / "h.csv", tmp_path / "out", columns=COLUMNS, rate_hz=200)
        check_rows(tmp_path / "out")

    def test_a_column_of_times_gives_the_rate_and_the_gaps(self, tmp_path):
        time = np.arange(4000) / 128
        kept = (time < 12) | (time > 14)
        table = {"t": time.round(4)[kept], "ecg": sine(128, 31.25)[kept], "label": ["AFIB"] * kept.sum()}
        write_csv(tmp_path / "h.csv", table)
        columns = {"signal": "ecg", "rhythm": "label", "time": "t"}
        made = import_recordings(tmp_path / "h.csv", tmp_path / "out", columns=columns)
        assert made.records[0].rate_hz == pytest.approx(128, rel=1e-4)
        assert made.records[0].missing_seconds == pytest.approx(2, abs=0.02)
        found = [start for _, start, _ in starts(tmp_path / "out")]
        assert found == pytest.approx([0, 5, 14.01, 19.01, 24.01], abs=0.02)

    @pytest.mark.parametrize(
        ("rate_hz", "pause_seconds"), [(250, 10.0), (250, 10.002), (500, 10.001), (360, 10.001)]
    )
    def test_a_pause_of_any_length_loses_no_sample(self, tmp_path, rate_hz, pause_seconds):
        time = np.arange(30 * rate_hz) / rate_hz
        time[len(time) // 2 :] += pause_seconds
        table = {"t": time.round(3), "ecg": sine(rate_hz, 30), "label": ["AFIB"] * len(time)}
        write_csv(tmp_path / "h.csv", table)
        columns = {"signal": "ecg", "rhythm": "label", "time": "t"}
        made = import_recordings(tmp_path / "h.csv", tmp_path / "out", columns=columns)
        assert made.segments == 6 or (rate_hz == 360 and made.segments == 5)

    @pytest.mark.parametrize("rate_hz", [128, 256, 300, 360, 512])
    def test_times_in_milliseconds_make_ten_seconds_of_ten_seconds(self, tmp_path, rate_hz):
        time = (np.arange(10 * rate_hz) / rate_hz).round(3)
        write_csv(tmp_path / "h.csv", {"t": time, "ecg": sine(rate_hz, 10), "label": ["AFIB"] * len(time)})
        columns = {"signal": "ecg", "rhythm": "label", "time": "t"}
        made = import_recordings(tmp_path / "h.csv", tmp_path / "out", columns=columns)
        assert (made.records[0].rate_hz, made.segments) == (rate_hz, 2)

    @pytest.mark.parametrize("meant_hz", [249.5, 250.5])
    def test_a_rate_that_is_nearly_that_of_the_times_loses_no_sample(self, tmp_path, meant_hz):
        time = np.arange(7500) / meant_hz
        write_csv(tmp_path / "h.csv", {"t": time, "ecg": sine(250, 30), "label": ["AFIB"] * len(time)})
        columns = {"signal": "ecg", "rhythm": "label", "time": "t"}
        made = import_recordings(tmp_path / "h.csv", tmp_path / "out", columns=columns, rate_hz=250)
        assert made.segments == 6

    def test_times_that_repeat_are_named_without_a_rate_too(self, tmp_path):
        time = (np.arange(2500) / 250).round(2)
        write_csv(tmp_path / "h.csv", {"t": time, "ecg": sine(250, 10), "label": ["AFIB"] * len(time)})
        columns = {"signal": "ecg", "rhythm": "label", "time": "t"}
        with pytest.raises(DataError, match=r"its times are missing, repeat or decrease; .* more decimals"):
            import_recordings(tmp_path / "h.csv", tmp_path / "out", columns=columns)

    def test_a_pause_of_days_takes_no_memory(self, tmp_path):
        time = np.concatenate([np.arange(2500), 2 * 86_400 * 250 + np.arange(2500)]) / 250
        table = {"t": time, "ecg": np.tile(sine(250, 10), 2), "label": ["AFIB"] * 5000}
        write_csv(tmp_path / "h.csv", table)
        columns = {"signal": "ecg", "rhythm": "label", "time": "t"}
        tracemalloc.start()
        try:
            import_recordings(tmp_path / "h.csv", tmp_path / "out", columns=columns)
            peak_bytes = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert [start for _, start, _ in starts(tmp_path / "out")] == [0, 5, 172_800, 172_805]
        assert peak_bytes < 100e6  # 346 MB for all of it

    @pytest.mark.parametrize("missing", ["", "NA", "nan", "NULL"])
    def test_a_missing_label_is_no_rhythm_and_a_missing_subject_another_person(self, tmp_path, missing):
        table = rows()
        label = ["AFIB"] * 2000 + [missing] * 2400 + ["N"] * 2000 + [missing] * 2400
        write_csv(tmp_path / "h.csv", {**table, "label": label, "patient": [1] * 4400 + [missing] * 4400})
        made = import_recordings(tmp_path / "h.csv", tmp_path / "out", columns=COLUMNS, rate_hz=200)
        assert made.rhythms == {"AFIB": 2, "N": 2}
        assert [one.person for one in made.records] == ["1", "h:4400"]

    def test_whole_numbers_are_the_same_with_and_without_a_point(self, tmp_path):
        for name, label, patient in (("a", "1.0", "7.0"), ("b", "1", "7")):
            table = {"ecg": sine(200, 10), "label": [label] * 2000, "patient": [patient] * 2000}
            write_csv(tmp_path / f"{name}.csv", table)
        made = import_recordings(tmp_path, tmp_path / "out", columns=COLUMNS, rate_hz=200, positive=["1.0"])
        assert (made.rhythms, made.positive_segments, list(made.subjects)) == ({"1": 4}, 4, ["S7"])

    def test_records_of_different_files_are_different(self, tmp_path):
        (tmp_path / "in").mkdir()
        for name in ("anna", "berta"):
            table = {"ecg": sine(200, 10), "label": ["N"] * 2000, "visit": [1] * 2000}
            write_csv(tmp_path / "in" / f"{name}.csv", table)
        columns = {"signal": "ecg", "rhythm": "label", "record": "visit"}
        made = import_recordings(tmp_path / "in", tmp_path / "out", columns=columns, rate_hz=200)
        assert [one.record for one in made.records] == ["anna:1", "berta:1"]
        assert len(made.subjects) == 2
        made = import_recordings(
            tmp_path / "in", tmp_path / "named", columns=columns, rate_hz=200, subject="^([a-z]+)"
        )
        assert [one.person for one in made.records] == ["anna", "berta"]

    def test_a_blank_line_of_a_single_column_is_a_missing_sample(self, tmp_path):
        cells = [f"{value:.6f}" for value in sine(200, 30)]
        cells[2000:3000] = [""] * 1000
        (tmp_path / "one.csv").write_text("\n".join(["ecg", *cells, "", ""]))
        reading = Reading(columns={"signal": "ecg"}, rate_hz=200, in_parts=True)
        (item,) = find_items(tmp_path / "one.csv", None, reading)[1]
        (found,) = item.each(lambda recording: (len(recording.signal), np.isnan(recording.signal[:]).sum()))
        assert found == (6000, 1000)

    def test_a_rate_that_changes_is_refused(self, tmp_path):
        table = {"ecg": sine(200, 20), "label": ["N"] * 4000, "fs": [200] * 3999 + [400]}
        write_csv(tmp_path / "h.csv", table)
        columns = {"signal": "ecg", "rhythm": "label", "rate": "fs"}
        with pytest.raises(DataError, match="h: its rate changes; say with record="):
            import_recordings(tmp_path / "h.csv", tmp_path / "out", columns=columns)

    def test_a_rate_may_be_stated_once(self, tmp_path):
        table = {"ecg": sine(200, 20), "label": ["N"] * 4000, "fs": [200, *[""] * 3999]}
        write_csv(tmp_path / "h.csv", table)
        columns = {"signal": "ecg", "rhythm": "label", "rate": "fs"}
        made = import_recordings(tmp_path / "h.csv", tmp_path / "out", columns=columns, positive=["N"])
        assert (made.records[0].rate_hz, made.segments) == (200, 4)

    @pytest.mark.parametrize("rate_hz", [200, 500])
    def test_times_of_another_rate_are_refused(self, tmp_path, rate_hz):
        table = {"t": np.arange(5000) / 250, "ecg": sine(250, 20), "label": ["N"] * 5000}
        write_csv(tmp_path / "h.csv", table)
        columns = {"signal": "ecg", "rhythm": "label", "time": "t"}
        with pytest.raises(DataError, match=f"its times are those of 250 Hz but its rate is {rate_hz} Hz"):
            import_recordings(tmp_path / "h.csv", tmp_path / "out", columns=columns, rate_hz=rate_hz)

    def test_a_column_that_occurs_twice_is_refused(self, tmp_path):
        (tmp_path / "h.csv").write_text("ecg,label,ecg\n0,N,0\n")
        with pytest.raises(DataError, match="h: has 2 columns ecg; rename them"):
            import_recordings(
                tmp_path, tmp_path / "out", columns={"signal": "ecg", "rhythm": "label"}, rate_hz=200
            )

    def test_recordings_without_a_subject_beside_others_are_pointed_out(self, tmp_path):
        table = rows()
        write_csv(tmp_path / "h.csv", {**table, "patient": ["P1"] * 4400 + [""] * 4400})
        made = import_recordings(tmp_path / "h.csv", tmp_path / "out", columns=COLUMNS, rate_hz=200)
        assert made.notes == ("the source does not say whose these are, so each is another person: h:4400",)

    def test_a_rhythm_to_find_that_does_not_occur_is_pointed_out(self, tmp_path):
        write_csv(tmp_path / "h.csv", rows())
        made = import_recordings(
            tmp_path / "h.csv", tmp_path / "out", columns=COLUMNS, rate_hz=200, positive=["AFIB", "AFLT"]
        )
        assert made.notes == ("no segment has the rhythm to find, AFLT; say with --positive which it is",)

    @pytest.mark.parametrize("positive", [["NA"], ["nan", "None"], [" "], []])
    def test_a_missing_value_is_no_rhythm_to_find(self, tmp_path, positive):
        with pytest.raises(DataError, match="--positive names no rhythm"):
            import_recordings(tmp_path, tmp_path / "out", positive=positive)

    def test_different_labels_stay_different(self, tmp_path):
        table = rows()
        table["label"] = ["房颤"] * 4400 + ["窦性心律"] * 3400 + ["(AFIB)"] * 1000
        write_csv(tmp_path / "h.csv", table)
        made = import_recordings(
            tmp_path / "h.csv", tmp_path / "out", columns=COLUMNS, rate_hz=200, positive=["房颤"]
        )
        assert (made.positive_segments, sorted(made.rhythms.values())) == (4, [1, 3, 4])
        assert made.rhythms["AFIB"] == 1

    def test_two_names_with_one_number_are_refused_and_nothing_is_left(self, tmp_path):
        write_csv(tmp_path / "h.csv", {**rows(), "patient": ["12"] * 4400 + ["012"] * 4400})
        with pytest.raises(DataError, match="'012' and '12' would both be subject S12; rename one"):
            import_recordings(tmp_path / "h.csv", tmp_path / "out", columns=COLUMNS, rate_hz=200)
        assert [path.name for path in tmp_path.iterdir()] == ["h.csv"]

    def test_a_bad_recording_is_named_and_the_others_of_its_file_are_kept(self, tmp_path):
        table = rows()
        table["ecg"][:4400] = 0
        table |= {"t": np.arange(8800) / 200, "visit": ["one"] * 4400 + ["two"] * 4000 + ["three"] * 400}
        table["t"][-5] = table["t"][-6]
        write_csv(tmp_path / "h.csv", table)
        columns = {**COLUMNS, "record": "visit", "time": "t"}
        with pytest.raises(DataError) as error:
            import_recordings(tmp_path / "h.csv", tmp_path / "out", columns=columns)
        assert "2 of 3 records" in str(error.value)
        assert "h:one: has no signal" in str(error.value)
        assert "h:three: its times are missing, repeat or decrease; sort the rows" in str(error.value)
        made = import_recordings(tmp_path / "h.csv", tmp_path / "out", columns=columns, skip_bad=True)
        assert [one.record for one in made.records] == ["h:two"]
        assert [one.file for one in made.skipped] == ["h:one", "h:three"]

    def test_missing_values_are_gaps_and_missing_labels_no_rhythm(self, tmp_path):
        table = rows()
        cells = [f"{value:.5f}" for value in table["ecg"]]
        cells[400:420] = [""] * 20
        label = list(table["label"])
        label[2000:4400] = [""] * 2400
        write_csv(tmp_path / "h.csv", {**table, "ecg": cells, "label": label})
        import_recordings(tmp_path / "h.csv", tmp_path / "out", columns=COLUMNS, rate_hz=200)
        assert [start for name, start, _ in starts(tmp_path / "out") if name == "h:0"] == [2.1]

    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            ("ecg,label\n1,N\n?,N\n", r"line 3: expected a number in column ecg but got '\?'"),
            ("signal,label\n1,N\n", "has no column ecg, but signal, label; see --columns"),
            ("", "has no column ecg, but none"),
            ("ecg,label\n\xff,N\n", "is not a CSV file in UTF-8"),
            ("ecg,label\n", "h: has no rows"),
            ("ecg,label\n0,52,N\n", "line 2: has 3 cells for 2 columns"),
        ],
    )
    def test_a_broken_table_is_named_with_its_line(self, tmp_path, content, sentence):
        (tmp_path / "h.csv").write_bytes(content.encode("latin-1"))
        columns = {"signal": "ecg", "rhythm": "label"}
        with pytest.raises(DataError, match=sentence):
            import_recordings(tmp_path / "h.csv", tmp_path / "out", columns=columns, rate_hz=200)

    def test_what_is_missing_is_asked_for(self, tmp_path):
        write_csv(tmp_path / "h.csv", rows())
        for columns, sentence in (
            ({}, "tables need --columns to say which column holds the signal and the rhythm"),
            ({"signal": "ecg"}, "which column holds the rhythm"),
            ({**COLUMNS, "lead": "ecg"}, "--columns: lead is not one of signal, rhythm"),
            (COLUMNS, "the sampling rate is unknown; give --rate HZ"),
        ):
            with pytest.raises(DataError, match=sentence):
                import_recordings(tmp_path / "h.csv", tmp_path / "out", columns=columns)

    @pytest.mark.parametrize("ending", ["csv", "npz", "parquet"])
    def test_a_missing_column_is_told_before_anything_is_read(self, tmp_path, ending):
        (tmp_path / f"h.{ending}").touch()
        with pytest.raises(DataError, match="say which column holds the signal and the rhythm"):
            find_items(tmp_path, None, Reading())

    @pytest.mark.parametrize(
        ("package", "ending"), [("pyedflib", "edf"), ("pyarrow.parquet", "parquet"), ("wfdb", "hea")]
    )
    def test_a_missing_package_is_told_before_anything_is_read(self, tmp_path, monkeypatch, package, ending):
        monkeypatch.setitem(sys.modules, package, None)
        (tmp_path / f"h.{ending}").touch()
        with pytest.raises(DataError, match=f"needs the Python package {package.partition('.')[0]} "):
            find_items(tmp_path, None, Reading(columns={"signal": "ecg", "rhythm": "label"}))

    @pytest.mark.parametrize(
        ("last", "sentence"),
        [
            ("0.5", "its times are missing, repeat or decrease"),
            ("", "its times are missing, repeat or decrease"),
            ("1e9", "span 11,574 days"),
        ],
    )
    def test_senseless_times_are_refused(self, tmp_path, last, sentence):
        write_csv(tmp_path / "h.csv", {"t": [1, 2, last], "ecg": [1, 2, 3], "label": ["N"] * 3})
        columns = {"signal": "ecg", "rhythm": "label", "time": "t"}
        with pytest.raises(DataError, match=sentence):
            import_recordings(tmp_path / "h.csv", tmp_path / "out", columns=columns, rate_hz=200)

    def test_a_record_of_one_row_is_told_that_it_is_one_row(self, tmp_path):
        table = {"t": [0.0, *np.arange(2500) / 250], "ecg": [1, *sine(250, 10)], "label": ["N"] * 2501}
        write_csv(tmp_path / "h.csv", {**table, "visit": [1] + [2] * 2500})
        columns = {"signal": "ecg", "rhythm": "label", "time": "t", "record": "visit"}
        with pytest.raises(DataError, match=r"1 of 2 records .*\n.* h:1: has one row only, .* tells no rate"):
            import_recordings(tmp_path / "h.csv", tmp_path / "out", columns=columns)

    @pytest.mark.parametrize("rate_hz", [0, -1, float("inf")])
    def test_a_senseless_rate_is_refused(self, tmp_path, rate_hz):
        write_csv(tmp_path / "h.csv", {"ecg": [1, 2], "label": ["N", "N"]})
        (tmp_path / "S1-N-0.txt").write_text("1\n2\n")
        for name in ("h.csv", "S1-N-0.txt"):
            with pytest.raises(DataError, match=f"its sampling rate is {rate_hz} Hz"):
                import_recordings(
                    tmp_path / name,
                    tmp_path / "out",
                    columns={"signal": "ecg", "rhythm": "label"},
                    rate_hz=rate_hz,
                )


class TestNpz:
    def test_arrays_of_samples(self, tmp_path):
        np.savez(tmp_path / "h.npz", **rows())
        import_recordings(tmp_path / "h.npz", tmp_path / "out", columns=COLUMNS, rate_hz=200)
        check_rows(tmp_path / "out")

    def test_values_given_once_hold_for_all_samples(self, tmp_path):
        np.savez(tmp_path / "h.npz", ecg=sine(360, 10), label="AFIB", patient=7, name="first", fs=360)
        made = import_recordings(
            tmp_path / "h.npz", tmp_path / "out", columns={**COLUMNS, "record": "name", "rate": "fs"}
        )
        assert [(one.person, one.record, one.seconds) for one in made.records] == [("7", "h:first", 10.0)]
        assert made.rhythms == {"AFIB": 2}

    def test_a_matrix_has_a_recording_in_each_row(self, tmp_path):
        ecg = np.stack([sine(360, 10)] * 4)
        np.savez(tmp_path / "h.npz", ecg=ecg, label=[1.0, 0.0, 1.0, 0.0], patient=[7, 7, 8, 8], fs=360)
        made = import_recordings(
            tmp_path / "h.npz", tmp_path / "out", columns={**COLUMNS, "rate": "fs"}, positive=["1"]
        )
        assert (made.segments, made.positive_segments, list(made.subjects)) == (8, 4, ["S7", "S8"])
        assert starts(tmp_path / "out")[:3] == [("h:0", 0, "1"), ("h:0", 5, "1"), ("h:1", 0, "0")]

    def test_rows_of_one_record_are_recordings_of_their_own(self, tmp_path):
        ecg = np.stack([sine(250, 5)] * 4)
        names = ["a", "b", "a", "a"]
        np.savez(tmp_path / "h.npz", ecg=ecg, label=["AFIB"] * 4, patient=[7, 7, 7, 8], name=names)
        made = import_recordings(
            tmp_path / "h.npz", tmp_path / "out", columns={**COLUMNS, "record": "name"}, rate_hz=250
        )
        assert [(one.person, one.record) for one in made.records] == [
            ("7", "h:a"),
            ("7", "h:b"),
            ("7", "h:a (2)"),
            ("8", "h:a"),
        ]

    def test_a_bad_row_is_named_and_the_others_are_kept(self, tmp_path):
        ecg = np.stack([sine(250, 10), np.zeros(2500), sine(250, 10), sine(250, 10)])
        np.savez(tmp_path / "h.npz", ecg=ecg, label=["AFIB", "N", np.nan, "N"], fs=[250, 250, 250, 1])
        columns = {"signal": "ecg", "rhythm": "label", "rate": "fs"}
        with pytest.raises(
            DataError, match=r"(?s)2 of 4 records .* h:1: has no signal.* h:3: its sampling rate"
        ):
            import_recordings(tmp_path / "h.npz", tmp_path / "out", columns=columns)
        made = import_recordings(tmp_path / "h.npz", tmp_path / "out", columns=columns, skip_bad=True)
        assert made.rhythms == {"AFIB": 2}
        assert "h:2: no 5 s of one rhythm; left out" in made.notes  # NaN is no rhythm

    def test_damage_and_pickles_are_refused(self, tmp_path):
        with (tmp_path / "h.npz").open("wb") as file:
            np.save(file, sine(250, 10))
        with pytest.raises(DataError, match="cannot be read as NPZ"):
            import_recordings(tmp_path / "h.npz", tmp_path / "out", columns=COLUMNS)
        (tmp_path / "h.npz").write_bytes(b"PK\x03\x04 nothing")
        with pytest.raises(DataError, match="cannot be read as NPZ"):
            import_recordings(tmp_path / "h.npz", tmp_path / "out", columns=COLUMNS)
        np.savez(tmp_path / "h.npz", ecg=np.array([{}], dtype=object), label=[1], patient=[1])
        with pytest.raises(DataError, match="cannot be read as NPZ"):
            import_recordings(tmp_path / "h.npz", tmp_path / "out", columns=COLUMNS)
        np.savez(tmp_path / "h.npz", ecg=sine(250, 10), label=["N"])
        columns = {"signal": "ecg", "rhythm": "label"}
        with pytest.raises(DataError, match="rhythm has 1 values for 2500 of the signal"):
            import_recordings(tmp_path / "h.npz", tmp_path / "out", columns=columns, rate_hz=250)
        np.savez(tmp_path / "h.npz", ecg=sine(250, 10), label="N", patient=1, t=0.0, fs="fast")
        with pytest.raises(DataError, match="time must be an array with a value for each row"):
            import_recordings(tmp_path / "h.npz", tmp_path / "out", columns={**COLUMNS, "time": "t"})
        with pytest.raises(DataError, match="rate holds no numbers"):
            import_recordings(tmp_path / "h.npz", tmp_path / "out", columns={**COLUMNS, "rate": "fs"})
        np.savez(tmp_path / "h.npz", ecg=sine(250, 10), label="N")
        with pytest.raises(DataError, match="has no array patient, but ecg, label"):
            import_recordings(tmp_path / "h.npz", tmp_path / "out", columns=COLUMNS, rate_hz=250)


@needs_parquet
class TestParquet:
    def test_a_row_for_each_sample_or_for_each_recording(self, tmp_path):
        import pyarrow as pa
        from pyarrow import parquet

        parquet.write_table(pa.table(rows()), tmp_path / "h.parquet")
        import_recordings(tmp_path / "h.parquet", tmp_path / "out", columns=COLUMNS, rate_hz=200)
        check_rows(tmp_path / "out")
        listed = {"ecg": [sine(250, 10), sine(250, 7)], "label": ["AFIB", "N"], "patient": ["a", "b"]}
        parquet.write_table(pa.table(listed), tmp_path / "l.parquet")
        made = import_recordings(tmp_path / "l.parquet", tmp_path / "out2", columns=COLUMNS, rate_hz=250)
        assert made.rhythms == {"AFIB": 2, "N": 1}
        assert len(made.subjects) == 2

    def test_long_numbers_beside_a_missing_one_keep_all_digits(self, tmp_path):
        import pyarrow as pa
        from pyarrow import parquet

        people = [12345678901234567] * 2500 + [None] * 2500 + [12345678901234568] * 2500
        table = {"ecg": np.tile(sine(250, 10), 3), "label": ["AFIB"] * 7500, "patient": people}
        parquet.write_table(pa.table(table), tmp_path / "h.parquet")
        made = import_recordings(tmp_path / "h.parquet", tmp_path / "out", columns=COLUMNS, rate_hz=250)
        assert [one.person for one in made.records] == ["12345678901234567", "h:2500", "12345678901234568"]

    def test_text_where_numbers_belong_is_named(self, tmp_path):
        import pyarrow as pa
        from pyarrow import parquet

        parquet.write_table(pa.table({**rows(), "ecg": rows()["label"]}), tmp_path / "h.parquet")
        with pytest.raises(DataError, match="h: holds text where numbers are expected; see --columns"):
            import_recordings(tmp_path / "h.parquet", tmp_path / "out", columns=COLUMNS, rate_hz=200)

    def test_lists_that_cannot_be_read_are_named(self, tmp_path):
        import pyarrow as pa
        from pyarrow import parquet

        good = sine(250, 10).tolist()
        for ecg, label, sentence in (
            ([good, None], ["N", "N"], "1 of 2 records .* h:1: has no signal"),
            ([good, []], ["N", "N"], "1 of 2 records .* h:1: has no signal"),
            ([["a"], ["b"]], ["N", "N"], "h:0: holds text where numbers are expected"),
            ([[good], [good]], ["N", "N"], "h: column ecg holds list<.*; see --columns"),
            ([good, good], [["AFIB", "PVC"], ["N"]], "h: column label holds list<.*; see --columns"),
        ):
            table = pa.table({"ecg": ecg, "label": label, "patient": [1, 2]})
            parquet.write_table(table, tmp_path / "h.parquet")
            with pytest.raises(DataError, match=f"(?s){sentence}"):
                import_recordings(tmp_path / "h.parquet", tmp_path / "out", columns=COLUMNS, rate_hz=250)
        table = pa.table({"ecg": [good, good], "label": ["N", "N"], "patient": ["fast", "250"]})
        parquet.write_table(table, tmp_path / "h.parquet")
        columns = {"signal": "ecg", "rhythm": "label", "rate": "patient"}
        with pytest.raises(DataError, match="h: holds text where numbers are expected"):
            import_recordings(tmp_path / "h.parquet", tmp_path / "out", columns=columns)

    def test_damage_is_named(self, tmp_path):
        (tmp_path / "h.parquet").write_bytes(b"PAR1 nothing PAR1")
        with pytest.raises(DataError, match=r"h: h\.parquet cannot be read as Parquet"):
            import_recordings(tmp_path / "h.parquet", tmp_path / "out", columns=COLUMNS)

    def test_a_missing_package_is_named(self, tmp_path, monkeypatch):
        (tmp_path / "h.parquet").touch()
        monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
        with pytest.raises(DataError, match=r"parquet files needs .* pyarrow .*atml\[formats\]"):
            import_recordings(tmp_path / "h.parquet", tmp_path / "out", columns=COLUMNS)


@needs_edf
class TestEdf:
    def test_annotations_with_and_without_duration(self, tmp_path):
        signals = {"RESP": sine(200, 40, 1), "ECG II": 1000 * sine(200, 40)}
        annotations = [(0, -1, "Recording starts"), (2, -1, "(N"), (14, 11, "AFIB"), (30, -1, "lights off")]
        write_edf(tmp_path / "h1.edf", signals=signals, annotations=annotations, patient="P12")
        made = import_recordings(tmp_path / "h1.edf", tmp_path / "out")
        assert starts(tmp_path / "out") == [
            *(("h1", start, "N") for start in (2, 7)),
            *(("h1", start, "AFIB") for start in (14, 19)),
        ]
        assert [(one.channel, one.unit, one.person) for one in made.records] == [("ECG II", "mV", "P12")]
        assert amplitude(tmp_path / "out") == pytest.approx(np.ones(4), abs=0.02)

    def test_annotations_may_be_in_any_order(self, tmp_path):
        annotations = [(20, 10, "AFIB"), (0, 11, "N")]
        write_edf(tmp_path / "h.edf", signals={"ECG": 1000 * sine(200, 40)}, annotations=annotations)
        import_recordings(tmp_path / "h.edf", tmp_path / "out")
        found = [(start, rhythm) for _, start, rhythm in starts(tmp_path / "out")]
        assert found == [(0, "N"), (5, "N"), (20, "AFIB"), (25, "AFIB")]

    def test_a_rhythm_goes_on_after_one_within_it(self, tmp_path):
        annotations = [(0, 35, "N"), (10, 10, "AFIB"), (15, 5, "VT"), (20, 5, "AFIB"), (36, -1, "AFIB")]
        write_edf(tmp_path / "h.edf", signals={"ECG": 1000 * sine(200, 41)}, annotations=annotations)
        import_recordings(tmp_path / "h.edf", tmp_path / "out")
        found = [(start, rhythm) for _, start, rhythm in starts(tmp_path / "out")]
        assert found == [
            *((start, "N") for start in (0, 5)),
            (10, "AFIB"),
            (15, "VT"),
            (20, "AFIB"),
            *((start, "N") for start in (25, 30)),
            (36, "AFIB"),
        ]

    def test_a_rhythm_stated_again_goes_on(self, tmp_path):
        annotations = [(start, 4, "AFIB") for start in range(0, 20, 4)] + [(20, -1, "N"), (28, -1, "N")]
        write_edf(tmp_path / "h.edf", signals={"ECG": 1000 * sine(200, 40)}, annotations=annotations)
        import_recordings(tmp_path / "h.edf", tmp_path / "out")
        found = [(start, rhythm) for _, start, rhythm in starts(tmp_path / "out")]
        assert found == [(5.0 * at, "AFIB" if at < 4 else "N") for at in range(8)]

    def test_a_comment_in_brackets_is_no_rhythm(self, tmp_path):
        annotations = [(0, -1, "(AFIB"), (8, -1, "(artefact)"), (20, -1, "(SBR")]
        write_edf(tmp_path / "h.edf", signals={"ECG": 1000 * sine(200, 40)}, annotations=annotations)
        made = import_recordings(tmp_path / "h.edf", tmp_path / "out")
        assert made.rhythms == {"AFIB": 4, "SBR": 4}
        assert made.notes == ("h: annotations that are no known rhythm, and so end none: (artefact) (1)",)

    def test_the_library_prints_nothing_where_answers_belong(self, tmp_path, capfd):
        write_edf(tmp_path / "h.edf", signals={"ECG": 1000 * sine(200, 40)}, annotations=[(0, -1, "N")])
        content = (tmp_path / "h.edf").read_bytes()
        (tmp_path / "h.edf").write_bytes(content[:-100])
        with pytest.raises(DataError, match="h: cannot be read as EDF"):
            import_recordings(tmp_path / "h.edf", tmp_path / "out")
        assert capfd.readouterr().out == ""

    def test_sinus_rhythm_ends_fibrillation(self, tmp_path):
        annotations = [(0, -1, "NSR"), (10, -1, "AFIB"), (20, -1, "SR")]
        write_edf(tmp_path / "h.edf", signals={"ECG": 1000 * sine(200, 40)}, annotations=annotations)
        made = import_recordings(tmp_path / "h.edf", tmp_path / "out")
        assert made.rhythms == {"NSR": 2, "AFIB": 2, "SR": 4}

    def test_other_names_of_rhythms_are_those_to_find(self, tmp_path):
        annotations = [(0, -1, "atrial fib"), (20, -1, "N")]
        write_edf(tmp_path / "h1.edf", signals={"ECG": 1000 * sine(200, 40)}, annotations=annotations)
        made = import_recordings(tmp_path, tmp_path / "out", positive=["atrial fib"])
        assert made.rhythms == {"atrial_fib": 4, "N": 4}
        assert made.positive_segments == 4

    def test_what_is_wrong_is_named(self, tmp_path):
        signals = {"left": 1000 * sine(200, 40), "right": 1000 * sine(200, 40)}
        write_edf(tmp_path / "h1.edf", signals=signals, annotations=[(0, -1, "begin")])
        with pytest.raises(DataError, match="h1: its channels are 0 left, 1 right; say with --lead"):
            import_recordings(tmp_path, tmp_path / "out")
        with pytest.raises(DataError, match="h1: no annotation in it is a rhythm such as AFIB"):
            import_recordings(tmp_path, tmp_path / "out", lead="right")
        content = (tmp_path / "h1.edf").read_bytes()
        (tmp_path / "h1.edf").write_bytes(content[: len(content) // 2])
        with pytest.raises(DataError, match=r"h1: cannot be read as EDF: .*; export or fetch it again"):
            import_recordings(tmp_path, tmp_path / "out")


class TestSegmentDirectories:
    def test_another_length_and_rate(self, tmp_path):
        (tmp_path / "in").mkdir()
        for name in ("S3-AFIB-0", "S3-N-1", "S04--0"):
            text = "".join(f"{value:.6f}\n" for value in sine(300, 30))
            (tmp_path / "in" / f"{name}.txt").write_text(text)
        made = import_recordings(tmp_path / "in", tmp_path / "out", rate_hz=300)
        assert made.rhythms == {"": 6, "AFIB": 6, "N": 6}
        assert sorted(set(load_dataset(tmp_path / "out").subjects)) == ["S3", "S4"]
        assert amplitude(tmp_path / "out") == pytest.approx(np.ones(18), abs=0.03)

    def test_a_directory_that_was_imported_can_be_imported(self, tmp_path):
        simulate(tmp_path / "in", subjects=2, segments_per_subject=4, segment_length=2500)
        made = import_recordings(tmp_path / "in", tmp_path / "out", rate_hz=250)
        again = import_recordings(tmp_path / "out", tmp_path / "again", rate_hz=250)
        assert (made.segments, again.segments) == (16, 16)
        assert list(again.subjects) == ["S0", "S1"]

    def test_rate_is_asked_for_and_broken_files_are_named(self, tmp_path):
        (tmp_path / "S1-N-0.txt").write_text("1\nx\n")
        with pytest.raises(DataError, match="give their sampling rate with --rate HZ"):
            import_recordings(tmp_path, tmp_path / "out")
        with pytest.raises(DataError, match=r"S1-N-0\.txt: line 2: expected a number but got 'x'"):
            import_recordings(tmp_path, tmp_path / "out", rate_hz=250)

    def test_rhythms_that_were_to_be_found_keep_their_names(self, tmp_path):
        table = {"ecg": sine(250, 10), "label": ["AFL"] * 2500}
        write_csv(tmp_path / "h.csv", table)
        columns = {"signal": "ecg", "rhythm": "label"}
        import_recordings(
            tmp_path / "h.csv", tmp_path / "out", columns=columns, rate_hz=250, positive=["AFIB", "AFL"]
        )
        again = import_recordings(tmp_path / "out", tmp_path / "again", rate_hz=250)
        assert (again.rhythms, again.positive_segments) == ({"AFL": 2}, 0)


class TestFinding:
    def test_the_index_of_an_earlier_import_is_no_table(self, tmp_path):
        write_csv(tmp_path / "h.csv", rows())
        for out in ("one", "two"):
            made = import_recordings(tmp_path, tmp_path / out, columns=COLUMNS, rate_hz=200)
            assert [one.record for one in made.records] == ["h:0", "h:4400"]

    def test_files_of_other_formats_are_pointed_out(self, tmp_path):
        np.savez(tmp_path / "b.npz", ecg=sine(200, 10), label=["N"] * 2000)
        for name in ("a", "c"):
            write_csv(tmp_path / f"{name}.csv", {"ecg": sine(200, 10), "label": ["N"] * 2000})
        columns = {"signal": "ecg", "rhythm": "label"}
        made = import_recordings(tmp_path, tmp_path / "out", columns=columns, rate_hz=200, positive=["N"])
        assert made.notes[0] == (
            "files of other formats are not read: csv (2); --format names the one to read"
        )

    def test_columns_are_those_of_tables_even_beside_segments(self, tmp_path):
        write_csv(tmp_path / "h.csv", rows())
        (tmp_path / "S1-N-0.txt").write_text("0\n" * 1250)
        format_, items, _ = find_items(tmp_path, None, Reading(columns=COLUMNS, rate_hz=200))
        assert (format_, [item.name for item in items]) == ("csv", ["h"])

    def test_what_was_looked_for_is_named(self, tmp_path):
        (tmp_path / "notes.txt").write_text("x")
        with pytest.raises(
            NoSegments, match=r"no file is named \*\.hea, .* S<subject>-<rhythm>-<index>\.txt, .*"
        ):
            import_recordings(tmp_path, tmp_path / "out")
        (tmp_path / "h.edf").touch()
        with pytest.raises(NoSegments, match=r"in the format csv: no file is named \*\.csv, \*\.tsv\.$"):
            import_recordings(tmp_path, tmp_path / "out", source_format="csv", columns=COLUMNS)

    def test_a_name_that_is_not_utf8_is_refused_before_anything_is_read(self, tmp_path):
        try:
            (tmp_path / os.fsdecode(b"M\xfcller.csv")).write_text("nothing that could be read")
        except OSError:
            pytest.skip("the file system takes UTF-8 names only")
        with pytest.raises(DataError, match=r"M\\udcfcller\.csv': this name is not UTF-8; rename it"):
            import_recordings(tmp_path, tmp_path / "out", columns=COLUMNS, rate_hz=200, skip_bad=True)

    def test_a_source_of_another_program_in_the_folder_above_is_ignored(self, tmp_path):
        (tmp_path / "db").mkdir()
        write_csv(tmp_path / "db" / "h.csv", rows())
        for number, content in enumerate(("[1, 2]", "{", '{"name": 1}')):
            (tmp_path / "source.json").write_text(content)
            made = import_recordings(tmp_path / "db", tmp_path / str(number), columns=COLUMNS, rate_hz=200)
            assert made.segments == 8
        (tmp_path / "db" / "source.json").write_text("{")
        with pytest.raises(DataError, match="fetch the recordings again"):
            import_recordings(tmp_path / "db", tmp_path / "out", columns=COLUMNS, rate_hz=200)
