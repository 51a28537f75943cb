"""How a candidate is trained, both to evaluate it and to ship it.

The length is fixed and the averaged weights of the last epoch are kept, on a fold and on all subjects.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from atml.ecg import Dataset, Split, grouped_folds
from atml.evaluation import FoldCounts, estimate
from atml.export import OnnxMetadata, check_parity, to_onnx
from atml.training import TrainingSettings, TrainingState, WithoutValidation, predict, train
from atml.tuning.phases import Phase
from atml.tuning.proposal import Proposal
from atml.tuning.records import CurvePoint

# An epoch is validated on every fourth segment: neighbours in a recording are similar, and validating on
# all would take a third of the training time.
INTERIM_STRIDE = 4
PARITY_SEGMENTS = 64


@dataclass(frozen=True, kw_only=True)
class FittedEpoch:
    """One epoch of a fit; `state` can be called until the next epoch begins."""

    point: CurvePoint
    state: Callable[[], TrainingState]


@dataclass(frozen=True, kw_only=True)
class FoldFit:
    """The training of one candidate without the subjects of one fold."""

    network: nn.Module
    split: Split
    fold: int
    settings: TrainingSettings
    device: torch.device
    beta: float
    soft_labels: NDArray[np.float32] | None = None  # of the training segments
    resume: TrainingState | None = None

    def epochs(self) -> Iterator[FittedEpoch]:
        """Train, and yield each epoch.

        Raises:
            TrainingDiverged: a loss became infinite or not a number.
        """
        interim = self.split.valid.select(np.arange(0, len(self.split.valid), INTERIM_STRIDE))
        split = Split(train=self.split.train, valid=interim)
        for epoch in train(
            self.network,
            split,
            self.settings,
            device=self.device,
            soft_labels=self.soft_labels,
            resume=self.resume,
        ):
            counts = FoldCounts.of(interim.labels, epoch.valid_scores, interim.subjects)
            point = CurvePoint(
                fold=self.fold,
                train_loss=epoch.train_loss,
                valid_loss=epoch.valid_loss or 0.0,
                fbeta=estimate([counts], beta=self.beta).fbeta,
                seconds=epoch.seconds,
            )
            yield FittedEpoch(point=point, state=epoch.state)

    def scores(self) -> NDArray[np.float32]:
        """Return P(AFIB) of all segments of the fold; call after training."""
        return predict(self.network, self.split.valid, device=self.device)

    def counts(self) -> FoldCounts:
        """Return the counts of the fold's subjects; call after training."""
        valid = self.split.valid
        return FoldCounts.of(valid.labels, self.scores(), valid.subjects)

    def onnx(self, metadata: OnnxMetadata) -> bytes:
        """Return the network as ONNX.

        Raises:
            ParityError: the file computes different results.
        """
        self.network.cpu()
        model = to_onnx(self.network, segment_length=self.split.valid.segment_length, metadata=metadata)
        some = self.split.valid.samples(np.arange(min(PARITY_SEGMENTS, len(self.split.valid))))
        check_parity(self.network, model, some)
        return model


def training_identity(spec: Mapping[str, Any], fingerprint: str, proposal: Proposal) -> dict[str, Any]:
    """Return what is trained, and how.

    Neither the search, what ends it, nor the location of the segments decides that.

    Args:
        spec: A stored spec.
        fingerprint: Of the segments.
        proposal: The network and its learning rate.
    """
    data = {name: value for name, value in spec["data"].items() if name != "train"}
    return {
        "spec": {"training": spec["training"], "data": data, "seed": spec["seed"]},
        "fingerprint": fingerprint,
        "architecture": proposal.architecture.name,
        "config": proposal.config.model_dump(),
        "learning_rate": proposal.learning_rate,
    }


@dataclass(frozen=True)
class Trainer:
    """Trains the candidates of a study.

    Args:
        phase: The study's spec.
        dataset: Its segments.
        device: Device to train on.
    """

    phase: Phase
    dataset: Dataset
    device: torch.device

    def cut_again(self, times: int) -> "Trainer":
        """Return a trainer with other folds and initial weights; 0 gives those of the race."""
        data = self.phase.data.model_copy(update={"seed": self.phase.data.seed + times})
        seed = self.phase.seed + times * self.phase.data.folds
        return replace(self, phase=self.phase.model_copy(update={"data": data, "seed": seed}))

    def key(self, proposal: Proposal) -> str:
        """Return a text that is the same only for the same training of the same network."""
        document = training_identity(self.phase.stored(), self.dataset.fingerprint, proposal)
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()

    @cached_property
    def splits(self) -> list[Split]:
        """The folds."""
        return grouped_folds(self.dataset, folds=self.phase.data.folds, seed=self.phase.data.seed)

    def fold(
        self,
        proposal: Proposal,
        fold: int,
        *,
        soft_labels: NDArray[np.float32] | None = None,
        resume: TrainingState | None = None,
    ) -> FoldFit:
        """Return the training of `proposal` without the subjects of one fold.

        `soft_labels` are those of all segments of the data set.

        Each fold starts from different weights: some seeds spoil a small network, and a mean over folds with
        the same seed would not show it.
        """
        settings = self._settings(proposal, self.phase.seed + fold)
        split = self.splits[fold]
        if soft_labels is not None:
            soft_labels = soft_labels[~np.isin(self.dataset.subjects, np.unique(split.valid.subjects))]
        return FoldFit(
            network=proposal.build(self.dataset.segment_length, seed=settings.seed),
            split=split,
            fold=fold,
            settings=settings,
            device=self.device,
            beta=self.phase.beta,
            soft_labels=soft_labels,
            resume=resume,
        )

    def on_all_subjects(
        self, proposal: Proposal, *, seed: int, soft_labels: NDArray[np.float32] | None = None
    ) -> tuple[dict[str, Tensor], float]:
        """Train on every subject; return the weights and the last training loss."""
        settings = self._settings(proposal, self.phase.seed + seed)
        network = proposal.build(self.dataset.segment_length, seed=settings.seed)
        train_loss = 0.0
        split = WithoutValidation(train=self.dataset)
        for epoch in train(network, split, settings, device=self.device, soft_labels=soft_labels):
            train_loss = epoch.train_loss
        return {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}, train_loss

    def _settings(self, proposal: Proposal, seed: int) -> TrainingSettings:
        return replace(self.phase.training, learning_rate=proposal.learning_rate, seed=seed)
