"""The training loop."""

import math
import time
from collections.abc import Iterator
from copy import deepcopy
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import ReduceLROnPlateau

from atml.ecg import Split, simulated_segments
from atml.ecg.simulated import fit_labels
from atml.errors import TrainingDiverged
from atml.training.augmentation import Augmentation
from atml.training.averaging import WeightAverage
from atml.training.batches import Source, TrainingBatches, WithoutValidation
from atml.training.cuda_graph import captured
from atml.training.device import without_denormals
from atml.training.epoch import Epoch, TrainingState
from atml.training.prediction import afib_scores, predict_logits
from atml.training.schedule import make_schedule
from atml.training.settings import TrainingSettings

# Reading a loss makes a GPU wait, so losses are checked in groups of this size.
LOSSES_AT_A_TIME = 32
STREAMS = ("dropout", "augmentation")  # of random numbers
VALIDATION_BATCH = {"cpu": 128, "cuda": 2048}  # on a CPU, its activations fit into the cache of a core


def train(
    model: nn.Module,
    split: Split | WithoutValidation,
    settings: TrainingSettings,
    *,
    device: torch.device,
    soft_labels: NDArray[np.float32] | None = None,
    resume: TrainingState | None = None,
) -> Iterator[Epoch]:
    """Train `model` in place and yield the result of each epoch.

    When the iteration ends (last epoch, early stop, or `break` and `close()` by the caller), `model` holds
    the weights of the last finished epoch, averaged if `settings.ema_decay` is set, in evaluation mode;
    after an error the weights are undefined. No epoch is chosen by its validation: that would pick a lucky
    one, and a model trained on all subjects has no validation to choose by.

    `soft_labels` [n], probabilities of AFIB of the training segments, are learned in place of the labels, as
    in distillation (Hinton et al., Distilling the Knowledge in a Neural Network, 2015).

    On a CPU the result depends only on the model's weights, the segments and the settings, bit for
    bit, and PyTorch's generator for the CPU is left as it was. `resume` continues after the epoch whose
    `state()` it is, as if there had been no interruption.

    Raises ValueError for fewer than two training segments, for soft labels of another length and for an empty
    validation set, and TrainingDiverged, while iterating, if a loss is infinite or not a number.
    """
    loop = _Loop(model, split, settings, device, soft_labels)
    if resume is not None:
        loop.load_state(resume)
    return loop.epochs()


class _Loop:
    """One training run; everything that an epoch changes is in `state`."""

    def __init__(
        self,
        model: nn.Module,
        split: Split | WithoutValidation,
        settings: TrainingSettings,
        device: torch.device,
        soft_labels: NDArray[np.float32] | None,
    ) -> None:
        self.settings = settings
        self.device = device
        length = split.train.segment_length
        adds_simulated = settings.simulated and fit_labels(split.train.positive)
        self.batches = TrainingBatches(
            split.train,
            batch_size=settings.batch_size,
            segments_per_epoch=settings.segments_per_epoch,
            seed=settings.seed,
            device=device,
            soft_labels=soft_labels,
            simulated=simulated_segments(length) if adds_simulated else None,
            share=settings.simulated,
        )
        self.valid: Source | None = None
        if split.valid is not None:
            if len(split.valid) == 0:
                raise ValueError("validation needs at least 1 segment, or valid=None, but got 0.")
            self.valid = Source(split.valid, device)
            self.valid_labels = torch.from_numpy(np.array(split.valid.labels, np.int64)).to(device)
        self.class_weights = _class_weights(split.train.labels, settings).to(device)
        self.model = model.to(device)
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(
            self.parameters, settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        self.forward = self.model
        if device.type == "cuda":
            self.forward = captured(self.model.train(), self.batches.batch_size, length, device)
        self.average = WeightAverage(model, settings.ema_decay) if settings.ema_decay else None
        self.schedule = make_schedule(self.optimiser, settings, self.batches.steps)
        self.augment = Augmentation(settings.augmentation, length, device)
        self.finished = 0
        self.lowest_loss = math.inf  # of validation
        self.waited = 0  # epochs since that loss
        self.stopped = False

    @property
    def candidate(self) -> nn.Module:
        """The network that is validated and whose weights are kept."""
        return self.model if self.average is None else self.average.module

    def epochs(self) -> Iterator[Epoch]:
        try:
            while self.finished < self.settings.epochs and not self.stopped:
                yield self.run_epoch(self.finished)
        finally:
            if self.finished and self.average is not None:
                self.model.load_state_dict(self.average.module.state_dict())
            self.model.eval()

    def run_epoch(self, index: int) -> Epoch:
        start = time.perf_counter()
        gpus = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=gpus), without_denormals():
            torch.manual_seed(self.random_seed(index, "dropout"))  # dropout draws from the global generator
            train_loss = self.train_epoch(index)
        valid_loss, scores = self.validate(index)
        if isinstance(self.schedule, ReduceLROnPlateau):
            self.schedule.step(train_loss if valid_loss is None else valid_loss)
        self.finished = index + 1
        self.stopped = self.should_stop(train_loss, valid_loss)
        return Epoch(
            index=index,
            train_loss=train_loss,
            valid_loss=valid_loss,
            valid_scores=scores,
            seconds=time.perf_counter() - start,
            state=lambda: self.state(index),
        )

    def should_stop(self, train_loss: float, valid_loss: float | None) -> bool:
        """Record an epoch's losses; return whether `patience` epochs brought no better one and it overfits.

        Until then the network still underfits (augmentation and dropout make the training loss the harder of
        the two), and training continues.
        """
        patience, gap = self.settings.patience, self.settings.gap
        if valid_loss is None or patience is None:
            return False
        self.waited = 0 if valid_loss < self.lowest_loss else self.waited + 1
        self.lowest_loss = min(valid_loss, self.lowest_loss)
        return self.waited >= patience and train_loss < valid_loss - gap

    def random_seed(self, index: int, stream: Literal["dropout", "augmentation"]) -> int:
        """Return a seed that depends only on the settings and the epoch, so that an epoch can be repeated."""
        entropy = [self.settings.seed, index, STREAMS.index(stream)]
        return int(np.random.SeedSequence(entropy).generate_state(1)[0])

    def train_epoch(self, index: int) -> float:
        """Train on the batches of an epoch and return the mean loss."""
        self.model.train()
        self.augment.reseed(self.random_seed(index, "augmentation"))
        losses = torch.empty(self.batches.steps, device=self.device)
        for number, (ecg, labels) in enumerate(self.batches.epoch(index)):
            ecg = self.augment(ecg)
            self.augment.add_flat_lines(ecg, labels)
            losses[number] = self.step(ecg, labels)
            if number % LOSSES_AT_A_TIME == LOSSES_AT_A_TIME - 1:
                self.refuse_divergence(index, losses[: number + 1])
        self.refuse_divergence(index, losses)
        return float(losses.mean())

    def step(self, ecg: Tensor, labels: Tensor) -> Tensor:
        """Update the weights with one batch and return its loss."""
        loss = self.loss(self.forward(ecg), labels)
        torch.autograd.backward(loss)
        if self.settings.gradient_clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.settings.gradient_clip, foreach=True)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update()
        if not isinstance(self.schedule, ReduceLROnPlateau):
            self.schedule.step()
        return loss.detach()

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        target = torch.stack([1 - labels, labels], dim=1) if labels.is_floating_point() else labels
        return functional.cross_entropy(
            logits, target, weight=self.class_weights, label_smoothing=self.settings.label_smoothing
        )

    def refuse_divergence(self, index: int, losses: Tensor) -> None:
        if torch.isfinite(losses).all():
            return
        number = int(torch.nonzero(~torch.isfinite(losses))[0])
        raise TrainingDiverged(
            f"the training loss became {float(losses[number])} in epoch {index}, batch {number}, "
            f"at peak learning rate {self.settings.learning_rate:.3g}; use a lower one"
        )

    def validate(self, index: int) -> tuple[float | None, NDArray[np.float32]]:
        if self.valid is None:
            return None, np.empty(0, dtype=np.float32)
        logits = predict_logits(self.candidate, self.valid, batch_size=VALIDATION_BATCH[self.device.type])
        loss = float(self.loss(logits, self.valid_labels))
        if not math.isfinite(loss):
            raise TrainingDiverged(
                f"the validation loss became {loss} after epoch {index} "
                f"at peak learning rate {self.settings.learning_rate:.3g}; use a lower one"
            )
        return loss, afib_scores(logits)

    def state(self, index: int) -> TrainingState:
        if self.finished != index + 1:
            raise RuntimeError(
                f"the state of epoch {index} is gone: {self.finished} epochs have been trained; "
                "call it before the next epoch."
            )
        parts: dict[str, Any] = {name: part.state_dict() for name, part in self.parts().items()}
        own = {"stopped": self.stopped, "lowest_loss": self.lowest_loss, "waited": self.waited}
        return TrainingState(epochs=self.finished, content=deepcopy(parts | {"loop": own}))

    def load_state(self, state: TrainingState) -> None:
        content = deepcopy(dict(state.content))
        for name, part in self.parts().items():
            part.load_state_dict(content[name])
        vars(self).update(content["loop"])
        self.finished = state.epochs

    def parts(self) -> dict[str, Any]:
        parts = {"model": self.model, "optimiser": self.optimiser, "schedule": self.schedule}
        return parts if self.average is None else parts | {"average": self.average}


def _class_weights(labels: NDArray[np.int64], settings: TrainingSettings) -> Tensor:
    """Return the weight [2] of each class in the loss."""
    if settings.class_weights == "none":
        return torch.ones(2)
    counts = np.bincount(labels, minlength=2)
    return torch.from_numpy(len(labels) / (2 * np.maximum(counts, 1))).float()
