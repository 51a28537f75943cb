"""The page of examples: what it says, and how a real browser shows it."""

import shutil

import numpy as np
import pytest
from playwright.sync_api import sync_playwright

from atml.ecg import simulate
from atml.ecg.importing import import_recordings
from atml.errors import BadSegment, NoSegments
from atml.reports.paper import gain_for, strip
from atml.reports.segments_page import contents, examples, page
from tests.recordings import sine

CHROMIUM = shutil.which("chromium")
MM = 96 / 25.4  # CSS pixels


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """Two people of an NPZ file, whose names would be markup if they were not escaped."""
    folder = tmp_path_factory.mktemp("page")
    label = ["N"] * 2500 + ["AFL"] * 2500
    np.savez(
        folder / "<b>.npz", ecg=np.tile(sine(250, 20, 1.0), 2), label=label * 2, who=[1] * 5000 + [2] * 5000
    )
    columns = {"signal": "ecg", "rhythm": "label", "subject": "who"}
    import_recordings(
        folder / "<b>.npz",
        folder / "out",
        columns=columns,
        rate_hz=250,
        positive=["AFL"],
        licence="<i>none</i>",
    )
    return folder / "out"


def test_counts_are_by_rhythm_as_the_source_names_it(imported):
    found = contents(imported)
    assert (found.segments, found.subjects, found.samples, found.problems) == (8, 2, 1250, 0)
    counts = {one.rhythm: (one.afib, one.segments, one.subjects) for one in found.rhythms}
    assert counts == {"AFL": (True, 4, 2), "N": (False, 4, 2)}


def test_examples_are_spread_over_subjects_and_time(imported):
    drawn = examples(imported, 2)
    assert [one.group for one in drawn] == ["AFL", "AFL", "N", "N"]
    assert [one.caption.partition(",")[0] for one in drawn[:2]] == ["S1-AFIB-2.txt", "S2-AFIB-3.txt"]
    assert drawn[1].caption.endswith("from 0:00:15.0")


def test_times_are_rounded_to_tenths_of_a_second(imported, tmp_path):
    folder = shutil.copytree(imported, tmp_path / "segments")
    index = folder / "segments.csv"
    index.write_text(index.read_text().replace(",15.0000,", ",3659.9600,"))
    assert examples(folder, 2)[1].caption.endswith("from 1:01:00.0")


def test_a_corrected_label_keeps_record_and_time(imported, tmp_path):
    folder = shutil.copytree(imported, tmp_path / "segments")
    before = examples(folder, 2)[1].caption.partition(",")[2]
    (folder / "S2-AFIB-3.txt").rename(folder / "S2-B-3.txt")
    (corrected,) = (one for one in examples(folder, 2) if one.group == "B")
    assert corrected.caption == f"S2-B-3.txt,{before}"


def test_one_file_can_be_shown_and_another_file_is_refused(imported):
    file = imported / "S1-N-0.txt"
    assert contents(file).segments == 1
    assert 'class="ecg"' in page(file.name, examples(file, 3), contents(file))
    with pytest.raises(BadSegment, match="must read S<subject>"):
        contents(imported / "provenance.json")
    with pytest.raises(NoSegments):
        contents(imported / "nowhere")


def test_broken_files_are_counted(tmp_path):
    simulate(tmp_path / "in", subjects=1, segments_per_subject=3)
    (tmp_path / "in" / "S0-N-99.txt").write_text("x\n")
    assert contents(tmp_path / "in").problems == 1
    assert "1 is drawn as 1 mV" in page("in", [], contents(tmp_path / "in"))


def test_the_page_needs_no_network_and_escapes_what_it_shows(imported):
    text = page("<u>out", examples(imported, 1), contents(imported))
    assert "://" not in text
    assert "<u>out" not in text
    assert "<i>none" not in text
    assert "&lt;i&gt;none" in text
    assert "<script" not in text


@pytest.mark.parametrize(("peak_to_peak", "gain"), [(2, 10), (3.5, 10), (4, 5), (200, 0.15625), (0.01, 2560)])
def test_a_trace_that_does_not_fit_has_another_gain_which_is_told(peak_to_peak, gain):
    samples = (peak_to_peak / 2 * np.sin(np.arange(1250) / 10)).astype(np.float32)
    assert gain_for(samples) == pytest.approx(gain)
    assert f"{gain:g} mm/mV" in strip(samples, "ECG")


def test_a_flat_line_is_drawn_flat():
    assert gain_for(np.zeros(1250, dtype=np.float32)) == 10
    assert "nan" not in strip(np.zeros(1250, dtype=np.float32), "ECG")


@pytest.mark.parametrize("length", [2, 250, 9000])
def test_segments_of_any_length_can_be_drawn(length):
    width = 10 + length / 10
    assert f'viewBox="0 0 {width:g} 40"' in strip(np.linspace(-1, 1, length, dtype=np.float32), "ECG")


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium; apt-get install chromium")
def test_a_browser_shows_true_scale_and_fits_a_phone(imported, tmp_path):
    (tmp_path / "p.html").write_text(page("out", examples(imported, 2), contents(imported)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        shown = browser.new_page(viewport={"width": 1000, "height": 900})
        asked, errors = [], []
        shown.on("request", lambda request: asked.append(request.url))
        shown.on("console", lambda message: errors.append(message.text))
        shown.goto((tmp_path / "p.html").as_uri())
        assert (len(asked), errors) == (1, [])
        assert shown.locator("figure svg").count() == 4
        paper = shown.locator("figure svg").first.bounding_box()
        trace = shown.locator(".trace[transform]").first.bounding_box()
        assert paper["width"] == pytest.approx(135 * MM, abs=1)
        assert trace["width"] == pytest.approx(125 * MM, abs=2)  # 5 s
        assert trace["height"] == pytest.approx(20 * MM, abs=2)  # 2 mV
        shown.set_viewport_size({"width": 380, "height": 800})
        assert shown.evaluate("document.documentElement.scrollWidth") <= 380
        browser.close()
