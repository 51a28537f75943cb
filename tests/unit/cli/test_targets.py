"""Whose figures decide about the targets: those of what is shipped, before that the search's."""

from types import SimpleNamespace

import pytest
import typer

from atml.cli.targets import MISSED, NOT_OVER, exit_by_targets, refuse_without_targets
from atml.errors import SpecError
from atml.service.studies import create_or_resume
from atml.tuning.outcome import outcome


@pytest.fixture
def search(storage, dataset, make_phase1, make_trial):
    def search(**targets):
        stored = create_or_resume(storage, make_phase1(targets=targets), dataset)
        stored.study.add_trial(make_trial(curve=(0.95,)))
        return outcome(stored.snapshot())

    return search


@pytest.fixture
def searched(search):
    """A study with the target of robustness alone, which only what is shipped can meet."""
    return search(fbeta=None, onnx_bytes=None, robust_fbeta=0.9)


def shipped(*failed):
    return SimpleNamespace(failed_targets=failed)


def exit_code(*results):
    with pytest.raises(typer.Exit) as ended:
        exit_by_targets(*results)
    return ended.value.exit_code


def test_what_was_shipped_meets_or_misses_it(searched):
    exit_by_targets(searched, shipped())
    assert exit_code(searched, shipped("robust_fbeta")) in (MISSED, NOT_OVER)


@pytest.mark.parametrize(("target", "met"), [(0.9, True), (0.96, False)])
def test_what_was_shipped_decides_and_not_the_search(search, target, met):
    done = search(fbeta=target)
    assert done.targets_met is met
    exit_by_targets(done, shipped())
    assert exit_code(done, shipped("fbeta")) in (MISSED, NOT_OVER)
    if met:
        exit_by_targets(done)
    else:
        assert exit_code(done) in (MISSED, NOT_OVER)


def test_a_search_alone_cannot_be_asked(searched):
    refuse_without_targets(searched.phase, "spec", ships=True)
    with pytest.raises(SpecError, match="spec has no targets"):
        refuse_without_targets(searched.phase, "spec")
    with pytest.raises(SpecError, match="has no targets"):
        exit_by_targets(searched)
