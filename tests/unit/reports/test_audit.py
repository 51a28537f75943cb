import csv

import numpy as np
import pytest
from pydantic_core import to_jsonable_python

from atml.errors import DataError, TooFewSubjects
from atml.reports import audit
from atml.reports.audit import audit_labels, suspicious_rows
from atml.tuning.candidates import Candidate


def rows(labels, scores, *, thresholds=(0.5, 0.5), confidence=0.9):
    return suspicious_rows(np.array(labels), np.array(scores, float), thresholds, confidence).tolist()


class TestChoosing:
    def test_a_label_is_suspicious_if_the_mean_score_contradicts_it_confidently(self):
        scores = [[0.9, 0.9], [0.9, 0.89], [0.1, 0.1], [0.1, 0.11]]
        assert rows([0, 0, 1, 1], scores) == [0, 2]
        assert rows([1, 1, 0, 0], scores) == []

    def test_every_network_must_be_on_that_side_of_its_own_threshold(self):
        assert rows([0], [[0.99, 0.85]], thresholds=(0.5, 0.86)) == []
        assert rows([0], [[0.99, 0.85]], thresholds=(0.5, 0.85)) == [0]  # at the threshold is AFIB
        assert rows([1], [[0.01, 0.15]], thresholds=(0.5, 0.15)) == []
        assert rows([1], [[0.01, 0.15]], thresholds=(0.5, 0.16)) == [0]

    def test_the_most_suspicious_comes_first_whatever_its_label_and_equals_keep_their_order(self):
        assert rows([0, 1, 0, 1], [[0.95] * 2, [0.01] * 2, [0.97] * 2, [0.03] * 2]) == [1, 2, 3, 0]

    def test_a_lower_confidence_finds_more(self):
        assert rows([0, 0], [[0.7] * 2, [0.95] * 2], confidence=0.6) == [1, 0]


@pytest.fixture
def report(dataset, tmp_path):
    """Audit with made scores: those of the label, but the opposite for the given segments."""

    def report(wrong):
        right = np.where(dataset.labels == 1, 0.98, 0.02)
        right[wrong] = np.where(right[wrong] > 0.5, 0.02, 0.98)
        candidates = [
            Candidate(architecture=name, config=None, onnx_bytes=1000, parameters=1, activations=1)
            for name in ("one", "two")
        ]
        return audit._report(dataset, candidates, np.stack([right, right], axis=1), 0.95, tmp_path)

    return report


def of(dataset, subject, count):
    return np.flatnonzero(dataset.subjects == subject)[:count]


class TestReport:
    def test_the_list_names_file_and_label_and_each_network_s_score(self, report, dataset):
        (wrong,) = of(dataset, "S4", 1)
        found = report([wrong])
        (one,) = found.suspicious
        assert one.file == dataset.files[wrong]
        assert (one.subject, one.rhythm) == ("S4", dataset.rhythms[wrong])
        assert one.label == ("AFIB" if dataset.labels[wrong] else "Normal")
        with found.csv.open() as file:
            header, line = csv.reader(file)
        assert header == ["file", "subject", "rhythm", "label", "one", "two", "mean"]
        assert line[:4] == [one.file, one.subject, one.rhythm, one.label]
        assert [float(figure) for figure in line[4:]] == pytest.approx([one.mean] * 3, abs=1e-4)

    def test_the_subject_with_the_most_suspicious_labels_comes_first_and_all_are_counted(
        self, report, dataset
    ):
        found = report([*of(dataset, "S10", 3), *of(dataset, "S2", 5)])
        assert [(one.subject, one.suspicious) for one in found.subjects[:3]] == [
            ("S2", 5),
            ("S10", 3),
            ("S0", 0),
        ]
        assert sum(one.segments for one in found.subjects) == found.segments == len(dataset)
        assert [path.name for path in found.pages] == ["page-1-S2.html", "page-2-S10.html"]

    def test_there_are_only_a_few_pages_and_those_of_an_earlier_audit_are_gone(
        self, report, dataset, tmp_path
    ):
        (tmp_path / "page.html").touch()
        found = report([at for subject in np.unique(dataset.subjects) for at in of(dataset, subject, 2)])
        assert len(found.pages) == audit.MOST_PAGES
        found = report(of(dataset, "S3", 2))
        assert sorted(path.name for path in tmp_path.glob("*.html")) == ["page-1-S3.html", "page.html"]

    def test_a_page_shows_the_most_suspicious_segments_with_label_and_score(self, report, dataset):
        found = report(of(dataset, "S3", audit.MOST_TRACES + 3))
        text = found.pages[0].read_text()
        assert f"S3: {audit.MOST_TRACES} of {audit.MOST_TRACES + 3} suspicious labels" in text
        assert text.count('class="ecg"') == audit.MOST_TRACES
        for one in found.suspicious[: audit.MOST_TRACES]:
            caption = f"{one.file}, label {one.label}, P(AFIB) {one.mean:.3f}"
            assert f"<figcaption>{caption}</figcaption>" in text

    def test_labels_without_doubt_give_an_empty_list(self, report):
        found = report([])
        assert (found.suspicious, found.pages) == ((), ())
        assert len(found.csv.read_text().splitlines()) == 1
        assert [one.roc_auc for one in found.networks] == [1.0, 1.0]

    def test_it_can_be_written_as_json(self, report, dataset):
        document = to_jsonable_python(report(of(dataset, "S3", 2)))  # as the command prints it
        assert document["pages"] == [str(path) for path in report(of(dataset, "S3", 2)).pages]
        assert document["suspicious"][0]["subject"] == "S3"


class TestMistakes:
    def test_one_class_only_is_refused_before_anything_is_written(self, tmp_path):
        (tmp_path / "in").mkdir()
        for number in range(4):
            (tmp_path / "in" / f"S{number}-N-0.txt").write_text("0.5\n1\n")
        with pytest.raises(DataError, match=r"every segment in .* is labelled Normal"):
            audit_labels(tmp_path / "in", out=tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_too_few_subjects_are_refused_before_anything_is_written(self, simulated, tmp_path):
        with pytest.raises(TooFewSubjects, match=r"40 folds .* Use fewer folds"):
            audit_labels(simulated, out=tmp_path / "out", folds=40)
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("confidence", [0.4, 1.1, float("nan")])
    def test_a_meaningless_confidence_is_refused(self, confidence, tmp_path):
        with pytest.raises(DataError, match="confidence must be from"):
            audit_labels(tmp_path, confidence=confidence)
