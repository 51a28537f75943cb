import json

import pytest

from atml.cli.status import status
from atml.service.studies import create_or_resume
from atml.tuning import outcome as results


@pytest.mark.parametrize("as_json", [False, True])
def test_the_result_of_a_study_is_computed_once(
    storage, storage_url, dataset, make_phase1, make_trial, monkeypatch, capsys, as_json
):
    phase = make_phase1(targets={"fbeta": 0.5})
    stored = create_or_resume(storage, phase, dataset)
    stored.study.add_trial(make_trial(curve=(0.95,)))
    computed, front = [], results.front
    monkeypatch.setattr(results, "front", lambda trials: computed.append(trials) or front(trials))
    status(phase.name, storage=storage_url, check_targets=True, as_json=as_json)
    assert len(computed) == 1
    printed = capsys.readouterr().out
    assert phase.name in printed
    if as_json:
        assert json.loads(printed)["studies"][0]["targets_met"] is True
