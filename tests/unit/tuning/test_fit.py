"""The training of one candidate: what differs between folds, and what does not."""

import pytest
import torch

from atml.models import get_architecture
from atml.tuning.fit import Trainer
from atml.tuning.proposal import Proposal


@pytest.fixture
def trainer(make_phase1, dataset):
    return Trainer(make_phase1(), dataset, torch.device("cpu"))


def first_weights(trainer, fold):
    architecture = get_architecture("optimized_afnet")
    proposal = Proposal(architecture=architecture, config=architecture.default(), learning_rate=0.01)
    state = trainer.fold(proposal, fold).network.state_dict()
    return torch.cat([tensor.flatten().float() for tensor in state.values()])


def test_every_fold_begins_with_other_weights_and_a_fold_always_with_the_same(trainer):
    fits = [(trainer, 0), (trainer, 1), (trainer.cut_again(1), 0), (trainer.cut_again(1), 1)]
    weights = [first_weights(*fit) for fit in fits]
    assert len({tuple(one.tolist()) for one in weights}) == len(fits)
    for one, fit in zip(weights, fits, strict=True):
        assert torch.equal(one, first_weights(*fit))


def test_folds_that_are_cut_again_hold_other_subjects_out(trainer):
    def held_out(trainer):
        return {frozenset(split.valid.subjects.tolist()) for split in trainer.splits}

    assert held_out(trainer) != held_out(trainer.cut_again(1))
