"""A finished study, for tests of what is made of it; fits run within this process, to start in a moment."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from atml.reports import fits
from atml.service.storage import open_storage
from atml.service.studies import create_or_resume
from atml.tuning import records
from atml.tuning.fit import Trainer
from atml.tuning.objective import Objective
from atml.tuning.phases import parse_spec
from tests.databases import close

FOLDS, SEEDS = 2, 3
CPU = torch.device("cpu")


class InThisProcess(ThreadPoolExecutor):
    """In place of spawned processes."""

    def __init__(self, workers, mp_context, initializer, initargs):
        super().__init__(1)
        self._processes = {}


@pytest.fixture
def _in_this_process(monkeypatch):
    monkeypatch.setattr(fits, "ProcessPoolExecutor", InThisProcess)


@pytest.fixture(scope="module")
def document(simulated):
    return {
        "phase": "joint",
        "name": "heart",
        "data": {"train": str(simulated), "folds": FOLDS},
        "search": {
            "architectures": ["linear", "optimized_afnet"],
            "sizes": [12_000],
            "learning_rate": {"low": 1e-2, "high": 1e-1, "steps": 2},
        },
        "training": {"epochs": 2, "batch_size": 32, "segments_per_epoch": 128},
        "pruning": {"neighbourhood": {"threshold": 0.0}, "race_chance": 0.0},
        "finalize": {"candidates": 2, "seeds": SEEDS},
    }


@pytest.fixture(scope="module")
def stored(tmp_path_factory, document, dataset):
    """A study in which one trial of each architecture has finished the race."""
    storage = open_storage(f"sqlite:///{tmp_path_factory.mktemp('stored') / 'atml.db'}")
    stored = create_or_resume(storage, parse_spec(document, source="test"), dataset)
    stored.study.sampler = stored.phase.sampler(0, stored.grid)
    for point in stored.grid.points[1::2]:
        stored.study.enqueue_trial(point.params)
    trainer = Trainer(stored.phase, dataset, CPU)
    objective = Objective(phase=stored.phase, study=stored.study, grid=stored.grid, trainer=trainer)
    stored.study.optimize(objective, n_trials=2)
    assert len(records.completed(stored.study.trials)) == 2
    yield stored
    close(storage)
