"""Batches taken directly from the segments in memory, without loader processes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atml.ecg import Dataset


@dataclass(frozen=True, kw_only=True)
class WithoutValidation:
    """A split that holds nothing out, for the final training on all subjects."""

    train: Dataset
    valid: None = None


class Source:
    """Returns segments as tensors [m, 1, segment length] on a device.

    Data that is used repeatedly (`resident`) is copied to a GPU once. On the CPU each batch is
    gathered from the data set, so processes keep sharing the pages of one memory map.
    """

    def __init__(self, data: Dataset, device: torch.device, *, resident: bool = True) -> None:
        self._data = data
        self.device = device
        self._resident: Tensor | None = None
        if resident and device.type != "cpu":
            self._resident = self._gather(np.arange(len(data)))

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, where: NDArray[np.int64]) -> Tensor:
        """Return a new tensor of the segments with those indices; the caller may change it."""
        if self._resident is None:
            return self._gather(where)
        return self._resident[torch.from_numpy(where).to(self.device)]

    def _gather(self, where: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(self._data.samples(where)).to(self.device).unsqueeze(1)


class TrainingBatches:
    """Shuffled batches of one size, the same for the same seed and epoch.

    Epochs take consecutive pieces of one endless stream in which every pass over the segments is
    reshuffled. All segments are seen equally often, segments left over at the end of an epoch begin
    the next one, and no batch is too small for BatchNorm. A share of each batch may come from a stream of
    simulated segments.
    """

    def __init__(
        self,
        data: Dataset,
        *,
        batch_size: int,
        segments_per_epoch: int | None,
        seed: int,
        device: torch.device,
        soft_labels: NDArray[np.float32] | None = None,
        simulated: Dataset | None = None,
        share: float = 0.0,
    ) -> None:
        """Raise ValueError if there are fewer than two segments or not one soft label for each."""
        if len(data) < 2:
            raise ValueError(f"training needs at least 2 segments, but got {len(data)}.")
        if soft_labels is not None and soft_labels.shape != (len(data),):
            raise ValueError(f"soft_labels must be [{len(data)}], but got shape {soft_labels.shape}.")
        self.batch_size = min(batch_size, len(data))
        self.steps = max(1, (segments_per_epoch or len(data)) // self.batch_size)
        added = round(share * self.batch_size) if simulated else 0
        labels = data.labels.astype(np.int64) if soft_labels is None else soft_labels.astype(np.float32)
        self._streams = [_Stream(Source(data, device), labels, self.batch_size - added, [seed])]
        if simulated and added:
            known = simulated.labels.astype(labels.dtype)
            self._streams.append(_Stream(Source(simulated, device), known, added, [seed, added]))

    def epoch(self, index: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of an epoch: ecg [batch, 1, segment length] and labels [batch].

        Labels are int64 classes or, with soft labels, float32 probabilities of AFIB.
        """
        for parts in zip(*(stream.epoch(index, self.steps) for stream in self._streams), strict=True):
            ecg, labels = zip(*parts, strict=True)
            yield (torch.cat(ecg), torch.cat(labels)) if len(parts) > 1 else parts[0]


class _Stream:
    """An endless stream of segments, of which each batch takes some."""

    def __init__(self, source: Source, labels: NDArray[Any], count: int, seed: list[int]) -> None:
        self._source = source
        self._labels = torch.from_numpy(labels).to(source.device)
        self._count = count  # of each batch
        self._seed = seed

    def epoch(self, index: int, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
        for where in self._order(index, steps * self._count).reshape(steps, self._count):
            # The order within a batch does not matter to training, but sorted indices read memory forward.
            where.sort()
            yield self._source[where], self._labels[torch.from_numpy(where)]

    def _order(self, index: int, length: int) -> NDArray[np.int64]:
        segments = len(self._source)
        start, stop = index * length, (index + 1) * length
        first, last = start // segments, (stop - 1) // segments
        passes = [
            np.random.default_rng([*self._seed, number]).permutation(segments)
            for number in range(first, last + 1)
        ]
        order: NDArray[np.int64] = np.concatenate(passes)[start - first * segments :]
        return order[:length]
