"""The target of robustness alone, which only what is shipped can meet."""

import pytest
import typer

from atml.cli.targets import MISSED, NOT_OVER, exit_by_targets, refuse_without_targets
from atml.errors import SpecError
from atml.service.studies import create_or_resume
from atml.tuning.outcome import outcome


@pytest.fixture
def searched(storage, dataset, make_phase1, make_trial):
    targets = {"fbeta": None, "onnx_bytes": None, "robust_fbeta": 0.9}
    stored = create_or_resume(storage, make_phase1(targets=targets), dataset)
    stored.study.add_trial(make_trial(curve=(0.95,)))
    return outcome(stored.snapshot())


def test_what_was_shipped_meets_or_misses_it(searched):
    exit_by_targets(searched, is_robust=True)
    with pytest.raises(typer.Exit) as ended:
        exit_by_targets(searched, is_robust=False)
    assert ended.value.exit_code in (MISSED, NOT_OVER)


def test_a_search_alone_cannot_be_asked(searched):
    refuse_without_targets(searched.phase, "spec", ships=True)
    with pytest.raises(SpecError, match="spec has no targets"):
        refuse_without_targets(searched.phase, "spec")
    with pytest.raises(SpecError, match="has no targets"):
        exit_by_targets(searched)
