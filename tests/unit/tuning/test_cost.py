import numpy as np
import pytest
from optuna.trial import TrialState

from atml.tuning.cost import expected_seconds


def test_before_any_trial_points_with_more_activations_are_expected_to_take_longer(make_grid):
    grid = make_grid()  # 1000, 2000 and 4000 activations, three learning rates each
    seconds = expected_seconds(grid, []).reshape(3, 3)
    assert (np.diff(seconds, axis=0) > 0).all()
    assert (np.diff(seconds, axis=1) == 0).all()


def test_a_trained_architecture_is_expected_to_take_what_it_took(make_grid, at_point):
    grid = make_grid(("linear", 1000), ("linear", 4000), ("conv_gru", 1000))
    slow = at_point(grid, 0, curve=(0.5, 0.5))  # 30 s an epoch
    seconds = expected_seconds(grid, [slow])

    def of(architecture, onnx_bytes):
        return seconds[grid.index[(architecture, onnx_bytes, grid.ladder.low)]]

    assert of("linear", 1000) == pytest.approx(30)
    assert of("linear", 4000) == pytest.approx(60)  # the square root of four times the activations
    assert of("conv_gru", 1000) == pytest.approx(30)  # no trial of its own: as the others


def test_trials_that_were_not_trained_tell_nothing(make_grid, at_point):
    grid = make_grid()
    untrained = at_point(grid, 0, state=TrialState.PRUNED)
    assert np.array_equal(expected_seconds(grid, [untrained]), expected_seconds(grid, []))
