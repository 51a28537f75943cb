"""An audit of simulated segments some of which got the wrong label; the fits run within this process."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from atml import audit_labels, simulate
from atml.reports import fits

FLIPPED = 16  # of each class


class InThisProcess(ThreadPoolExecutor):
    """In place of spawned processes."""

    def __init__(self, workers, mp_context, initializer, initargs):
        super().__init__(1)
        self._processes = {}


@pytest.fixture
def flipped(tmp_path):
    """Rename segments of one subject so that the labels are wrong, and return their new names."""
    simulate(tmp_path / "in", subjects=20, segments_per_subject=120, seed=1)
    names = set()
    for rhythm, wrong in (("AFIB", "N"), ("N", "AFIB")):
        for path in sorted((tmp_path / "in").glob(f"S4-{rhythm}-*.txt"))[:FLIPPED]:
            name = path.name.replace(f"-{rhythm}-", f"-{wrong}-900")
            shutil.move(path, path.with_name(name))
            names.add(name)
    assert len(names) == 2 * FLIPPED
    return names


@pytest.mark.slow
def test_most_flipped_labels_are_found_and_few_others(flipped, tmp_path, monkeypatch):
    monkeypatch.setattr(fits, "ProcessPoolExecutor", InThisProcess)
    options = {"folds": 2, "confidence": 0.8, "workers": 1, "device": "cpu"}
    found = audit_labels(tmp_path / "in", out=tmp_path / "out", **options)
    named = {one.file for one in found.suspicious}
    assert len(named & flipped) > 0.6 * len(flipped)
    assert len(named - flipped) < 0.02 * found.segments
    assert found.subjects[0].subject == "S4"
    assert found.pages[0].name == "page-1-S4.html"
