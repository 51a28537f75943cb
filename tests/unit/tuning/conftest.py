"""A grid whose networks are never built: only their names and sizes matter."""

import pytest

from atml.models import get_architecture
from atml.tuning import records
from atml.tuning.candidates import Candidate
from atml.tuning.grid import Grid
from atml.tuning.ladder import LearningRateLadder

NETWORKS = (("linear", 1000), ("optimized_afnet", 2000), ("conv_gru", 4000))


def grid_of(*networks, steps=3):
    candidates = tuple(
        Candidate(
            architecture=name,
            config=get_architecture(name).default(),
            onnx_bytes=size,
            parameters=size // 4,
            activations=size,
        )
        for name, size in networks or NETWORKS
    )
    return Grid(candidates, LearningRateLadder(low=1e-3, high=1e-1, steps=steps))


@pytest.fixture
def make_grid():
    return grid_of


@pytest.fixture
def at_point(make_trial):
    """Make a trial at a point of a grid."""

    def make(grid, at, **fields):
        params = grid.points[at].params
        return make_trial(
            architecture=params[records.ARCHITECTURE],
            learning_rate=params[records.LEARNING_RATE],
            onnx_bytes=params[records.ONNX_BYTES],
            **fields,
        )

    return make
