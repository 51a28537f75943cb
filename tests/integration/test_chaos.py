"""A search under murder and outages, small; `python -m tests.chaos` does the same at length."""

import pytest

from atml.service.studies import create_or_resume
from tests.chaos import Chaos, account, make_phase
from tests.databases import on_both_databases
from tests.waiting import PATIENCE_SECONDS

TRIALS, EPOCHS = 5, 20


@pytest.fixture
def server(request):
    """The PostgreSQL server, if this test has one; running again after it whatever happened."""
    if request.node.callspec.params["storage_url"] == "sqlite":
        yield None
    else:
        server = request.getfixturevalue("postgres")
        yield server
        server.stop()
        server.start()


@on_both_databases
def test_killed_workers_and_outages_lose_no_trial_and_repeat_none(
    storage, storage_url, server, dataset, simulated, tmp_path
):
    phase = make_phase(
        simulated, trials=TRIALS, epochs=EPOCHS, architectures=["optimized_afnet", "dscnn"], segments=640
    )
    study = create_or_resume(storage, phase, dataset).study
    chaos = Chaos(
        folder=tmp_path,
        url=storage_url,
        workers=2,
        kill_every=4,
        server=server,
        restart_at=(5, 14) if server else (),
        most_kills=5,
        give_up_after=PATIENCE_SECONDS,
    )
    chaos.run(study)
    assert chaos.kills_in_training >= 2
    assert chaos.restarts == (2 if server else 0)
    found = account(study, TRIALS, EPOCHS, tmp_path / "artifacts")
    assert found.cut_short >= 2
    assert found.most_tries >= 2
    assert found.given_up == 0
