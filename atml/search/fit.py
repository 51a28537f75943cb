"""Retraining a winner: on the other folds to judge it again, and on all subjects to ship it."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from atml.ecg import Dataset, grouped_folds
from atml.search.phases import Phase
from atml.search.proposal import Proposal
from atml.training import WithoutValidation, predict, train

# The folds that judge winners again are cut differently from the one the search validated on.
FOLD_SEED_OFFSET = 1


@dataclass(frozen=True, kw_only=True)
class Fit:
    """One retrained model."""

    state_dict: dict[str, Tensor]
    valid_rows: NDArray[np.int64]  # positions within the data set; empty if it trained on all subjects
    valid_scores: NDArray[np.float32]  # P(AFIB) of those rows
    train_loss: float


def fit_fold(phase: Phase, proposal: Proposal, dataset: Dataset, fold: int, device: torch.device) -> Fit:
    """Train without the subjects of one fold, then score them: out-of-fold evidence.

    The last epoch counts, not the best one. The final fit has no validation to choose an epoch by,
    so choosing one here would promise more than the shipped model can keep.
    """
    folds = grouped_folds(dataset, folds=phase.finalize.folds, seed=phase.data.seed + FOLD_SEED_OFFSET)
    held_out = folds[fold].valid
    network, train_loss = _train(phase, proposal, folds[fold].train, fold, device)
    return Fit(
        state_dict=_on_cpu(network),
        valid_rows=np.flatnonzero(np.isin(dataset.subjects, np.unique(held_out.subjects))),
        valid_scores=predict(network, held_out, device=device),
        train_loss=train_loss,
    )


def fit_all(phase: Phase, proposal: Proposal, dataset: Dataset, seed: int, device: torch.device) -> Fit:
    """Train on all subjects: what is shipped."""
    network, train_loss = _train(phase, proposal, dataset, seed, device)
    return Fit(
        state_dict=_on_cpu(network),
        valid_rows=np.empty(0, np.int64),
        valid_scores=np.empty(0, np.float32),
        train_loss=train_loss,
    )


def _train(
    phase: Phase, proposal: Proposal, dataset: Dataset, seed: int, device: torch.device
) -> tuple[nn.Module, float]:
    """Train for finalize's full length and return the network and its last training loss."""
    settings = replace(
        phase.training,
        learning_rate=proposal.learning_rate,
        seed=phase.seed + seed,
        epochs=phase.finalize.epochs,
        segments_per_epoch=phase.finalize.segments_per_epoch,
    )
    network = proposal.build(dataset.segment_length, seed=phase.seed + seed)
    train_loss = 0.0
    for epoch in train(network, WithoutValidation(train=dataset), settings, device=device):
        train_loss = epoch.train_loss
    return network, train_loss


def _on_cpu(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
