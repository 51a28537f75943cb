"""`kill -9` of `atml run` and all of its workers, wherever it hurts, then the same command again."""

import psutil
import pytest
from optuna.trial import TrialState

from atml.tuning import records
from tests.acceptance.conftest import Workplace

FAIL, RUNNING = TrialState.FAIL, TrialState.RUNNING
TRIALS = 3


@pytest.fixture
def place(tmp_path, simulated, simulated_test):
    place = Workplace(tmp_path, simulated, simulated_test)
    for name in ("phase1.toml", "phase2.toml"):
        text = (tmp_path / name).read_text().replace("trials = 1", f"trials = {TRIALS}")
        place.write(name, text)
    return place


def kill_everything_when(place, condition, *arguments):
    """Start a command, and end it and all of its processes by SIGKILL as soon as `condition` holds."""
    process = place.start(*arguments)
    place.wait_for(condition, process)
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for one in family:
        one.kill()
    process.communicate()
    return len(family)


def test_the_same_command_completes_with_exactly_the_budget_and_a_bundle(place):
    def training(study):
        return lambda: any(t.state == RUNNING and records.curve(t) for t in place.trials(study))

    def fitting():
        return list(place.folder.glob("artifacts/heart-phase2/fits/*.pt"))

    command = [*place.run_arguments(), "--workers", 2]
    for condition in (training("heart-phase1"), training("heart-phase2")):
        assert kill_everything_when(place, condition, *command) >= 3  # the command and two workers
    kill_everything_when(place, fitting, *command)
    done = place.atml(*command)
    assert done.returncode == 0, done.stderr
    for name in ("heart-phase1", "heart-phase2"):
        trials = place.trials(name)
        assert not [trial for trial in trials if trial.state == RUNNING]
        assert len(records.trained(trials)) == TRIALS
        cut_short = [trial for trial in trials if trial.state == FAIL]
        assert cut_short
        tried_again = {t.number: t for t in trials if records.RETRY_OF in t.user_attrs}
        for trial in cut_short:
            assert any(again.params == trial.params for again in tried_again.values())
    bundles = list((place.folder / "results").glob("*/*/manifest.json"))
    assert len(bundles) == 1
    # A killed worker may leave an unfinished checkpoint, which later ones remove after an hour.
    assert not list((place.folder / "results").rglob("*.tmp"))
