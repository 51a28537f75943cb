import numpy as np
import pytest

from atml.models import get_architecture
from atml.search.proposal import Proposal
from atml.service import fits
from atml.service.fits import job, run_fits


def proposal(name="linear", learning_rate=0.01):
    architecture = get_architecture(name)
    return Proposal(architecture=architecture, config=architecture.default(), learning_rate=learning_rate)


@pytest.fixture
def key(make_phase1):
    """Return the name under which a fit is kept; keyword arguments change what is fitted."""

    def key(*, fingerprint="f" * 64, fold=0, seed=1, name="linear", learning_rate=0.01, **changes):
        what = proposal(name, learning_rate)
        return job(make_phase1(**changes), fingerprint, what, fold=fold, seed=seed).key

    return key


def test_the_same_fit_has_the_same_key(key):
    assert key() == key()


@pytest.mark.parametrize(
    "change",
    [
        {"fingerprint": "0" * 64},
        {"fold": 1},
        {"fold": None},
        {"seed": 2},
        {"name": "conv_gru"},
        {"learning_rate": 0.02},
        {"training": {"epochs": 9}},
        {"data": {"folds": 3}},
        {"data": {"seed": 5}},
        {"data": {"exclude_subjects": ["S3"]}},
    ],
)
def test_another_fit_has_another_key(key, change):
    assert key(**change) != key()


def test_another_version_has_another_key(key, monkeypatch):
    before = key()
    monkeypatch.setattr(fits, "__version__", "999")
    assert key() != before


@pytest.mark.parametrize(
    "change",
    [
        {"data": {"train": "/elsewhere"}},
        {"budget": {"trials": 99}},
        {"targets": {"fbeta": 0.9}},
    ],
)
def test_neither_the_directory_nor_what_ends_a_search_changes_the_key(key, change):
    assert key(**change) == key()


def test_the_name_of_the_study_is_no_part_of_the_key(make_phase1):
    keys = {job(make_phase1(name=name), "f", proposal(), fold=0, seed=1).key for name in ("a", "b")}
    assert len(keys) == 1


def test_a_fit_that_is_kept_is_not_done_again(make_phase1, dataset, tmp_path):
    phase = make_phase1(training={"epochs": 1, "segments_per_epoch": 64})
    jobs = [job(phase, dataset.fingerprint, proposal(), fold=fold, seed=1) for fold in (0, None)]
    told = []
    first = run_fits(
        jobs, tmp_path, workers=1, device="cpu", on_done=lambda done, total: told.append((done, total))
    )
    assert told == [(0, 2), (1, 2), (2, 2)]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = run_fits(
        jobs, tmp_path, workers=1, device="cpu", on_done=lambda done, total: told.append((done, total))
    )
    assert told[3:] == [(2, 2)]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one.valid_scores, other.valid_scores)
    # Without a fold nothing is held out.
    assert (len(first[0].valid_rows), len(first[1].valid_rows)) == (len(first[0].valid_scores), 0)
    assert 0 < len(first[0].valid_rows) < len(dataset)
