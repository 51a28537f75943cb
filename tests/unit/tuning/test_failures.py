import pytest
import sqlalchemy.exc
import torch
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import TrialState

from atml.errors import (
    CannotWrite,
    ModelError,
    ParityError,
    StorageUnreachable,
    StudyDeleted,
    TrainingDiverged,
)
from atml.tuning.failures import ENOUGH_ERRORS, hopeless, will_recur

PRUNED, RUNNING = TrialState.PRUNED, TrialState.RUNNING


@pytest.mark.parametrize(
    "error",
    [
        ParityError("differ"),
        ModelError("not valid ONNX"),
        TrainingDiverged("inf"),
        ValueError("criterion must return a number"),
        ZeroDivisionError(),
        KeyError("config"),
        AssertionError(),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        RuntimeError("Expected all tensors to be on the same device, cuda:0 and cpu"),
    ],
)
def test_what_depends_on_the_trial_alone_would_happen_again(error):
    assert will_recur(error)


def real_lack_of_memory():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**15)
    return caught.value


@pytest.mark.parametrize(
    "error",
    [
        CannotWrite("full"),
        StorageUnreachable("away"),
        StudyDeleted("gone"),
        StorageInternalError("away"),
        UpdateFinishedTrialError("closed"),
        sqlalchemy.exc.OperationalError("SELECT", {}, Exception("locked")),
        MemoryError(),
        OSError(28, "No space left on device"),
        ConnectionResetError(),
        ImportError("no such library on this machine"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        real_lack_of_memory(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_depends_on_a_machine_a_disk_or_a_server_may_go_well_another_time(error):
    assert not will_recur(error)
    wrapped = ModelError("cannot be built")
    wrapped.__cause__ = error
    assert not will_recur(wrapped)


@pytest.fixture
def failed(make_trial):
    def make(count, error="ParityError: by 1", **fields):
        return [make_trial(state=PRUNED, pruned_by="error", pruned_because=error, **fields)] * count

    return make


class TestHopeless:
    @pytest.mark.parametrize("curve", [(), (0.5, 0.6)])
    def test_enough_trials_with_one_kind_of_error_and_nothing_else_are(self, failed, curve):
        trials = failed(1, curve=curve) + failed(ENOUGH_ERRORS - 1, "ParityError: by 2", curve=curve)
        said = f"the first {len(trials)} trials all ended with the same error: ParityError: by 1"
        assert hopeless(trials) == said
        assert hopeless(trials[1:]) is None

    def test_trials_that_no_rule_let_train_say_nothing(self, failed, make_trial):
        spared = make_trial(state=PRUNED, pruned_by="neighbourhood")
        assert hopeless([spared, *failed(ENOUGH_ERRORS)]) is not None

    @pytest.mark.parametrize("other", [{}, {"state": PRUNED, "pruned_by": "pruner"}])
    def test_one_trial_without_an_error_is_hope(self, failed, make_trial, other):
        assert hopeless([*failed(ENOUGH_ERRORS), make_trial(curve=(0.1,), **other)]) is None

    def test_different_errors_are_no_verdict(self, failed):
        assert hopeless(failed(ENOUGH_ERRORS) + failed(1, "ValueError: b")) is None

    @pytest.mark.parametrize(("architecture", "waits"), [("linear", False), ("conv_gru", True)])
    def test_an_architecture_that_is_still_in_its_first_training_is_waited_for(
        self, failed, make_trial, architecture, waits
    ):
        trials = [*failed(ENOUGH_ERRORS), make_trial(state=RUNNING, architecture=architecture)]
        assert (hopeless(trials) is None) is waits
