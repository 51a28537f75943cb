"""Logits and probabilities of a network."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from atml.ecg import Dataset
from atml.training.batches import Source


def predict(
    model: nn.Module,
    data: Dataset,
    *,
    device: torch.device,
    batch_size: int = 512,
) -> NDArray[np.float32]:
    """Return P(AFIB) [n] of the segments in `data`.

    The model is moved to `device` and run in evaluation mode; its mode is restored afterwards.
    """
    source = Source(data, device, resident=False)
    return afib_scores(predict_logits(model.to(device), source, batch_size=batch_size))


def predict_logits(model: nn.Module, source: Source, *, batch_size: int) -> Tensor:
    """Return the logits [n, 2] of all segments of `source`, on its device."""
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            parts = [
                model(source[np.arange(start, min(start + batch_size, len(source)))])
                for start in range(0, len(source), batch_size)
            ]
            return torch.cat(parts) if parts else torch.empty(0, 2)
    finally:
        model.train(was_training)


def afib_scores(logits: Tensor) -> NDArray[np.float32]:
    """Return P(AFIB) [n] of logits [n, 2]."""
    scores: NDArray[np.float32] = logits.float().softmax(dim=1)[:, 1].cpu().numpy()
    return scores
