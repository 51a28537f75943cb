import optuna
import pytest

from atml.errors import StudyError
from atml.tuning import records
from atml.tuning.grid import key_of

pytestmark = pytest.mark.filterwarnings("ignore:Heartbeat of storage is supposed")


def test_every_candidate_is_a_point_at_every_learning_rate_the_smallest_first(make_grid):
    grid = make_grid(("conv_gru", 4000), ("linear", 1000))
    assert [point.key for point in grid.points] == [
        ("linear", 1000, 1e-3),
        ("linear", 1000, 1e-2),
        ("linear", 1000, 1e-1),
        ("conv_gru", 4000, 1e-3),
        ("conv_gru", 4000, 1e-2),
        ("conv_gru", 4000, 1e-1),
    ]
    assert grid.onnx_bytes.tolist() == [1000] * 3 + [4000] * 3


def test_a_point_is_found_by_the_parameters_it_gives_a_trial(make_grid):
    grid = make_grid()
    for at, point in enumerate(grid.points):
        assert grid.index[key_of(point.params)] == at
        assert point.proposal().learning_rate == point.params[records.LEARNING_RATE]
        assert point.proposal().config == point.candidate.config


def test_a_trial_that_lacks_a_parameter_names_no_point(make_grid):
    params = make_grid().points[0].params
    for name in params:
        assert key_of({other: value for other, value in params.items() if other != name}) is None


def test_a_queued_point_is_suggested_as_it_was_queued(storage, make_grid):
    grid = make_grid()
    study = optuna.create_study(storage=storage)
    for point in grid.points:
        study.enqueue_trial(point.params)
    suggested = [grid.suggest(study.ask()) for _ in grid.points]
    assert suggested == list(grid.points)
    assert [trial.params for trial in study.trials] == [point.params for point in grid.points]
    assert all(trial.distributions == grid.space() for trial in study.trials)


def test_parameters_between_two_points_are_refused_with_the_trial_and_what_they_are(make_grid):
    grid = make_grid()
    study = optuna.create_study()
    study.enqueue_trial({**grid.points[0].params, records.ONNX_BYTES: 1500})
    with pytest.raises(StudyError, match=r"trial 0: .*1500.* is not a point"):
        grid.suggest(study.ask())
