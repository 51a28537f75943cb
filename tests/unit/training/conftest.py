"""A data set, a split and a network that are small enough to train in a test."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

LENGTH = 64


class Segments:
    """The part of a data set that training needs, over a read-only array like a memory map."""

    def __init__(self, samples, labels):
        self._samples = samples
        self._samples.flags.writeable = False
        self.labels = labels

    @property
    def segment_length(self):
        return self._samples.shape[1]

    def __len__(self):
        return len(self._samples)

    def samples(self, where):
        return self._samples[where]


@dataclass(frozen=True)
class Split:
    train: Segments
    valid: Segments | None


def segments_of(count, seed=0, noise=0.5, offset=0.0):
    """Half of them with a wave that the others lack: learnable, but not by chance."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(count) % 2).astype(np.int64)
    wave = np.sin(np.arange(LENGTH) / 2)
    samples = labels[:, None] * wave + noise * rng.standard_normal((count, LENGTH)) + offset
    return Segments(samples.astype(np.float32), labels)


def network_of(seed=0, dropout=0.5):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv1d(1, 4, 5, 2),
            nn.SiLU(),
            nn.BatchNorm1d(4),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(4 * ((LENGTH - 5) // 2 + 1), 8),
            nn.BatchNorm1d(8),  # over single values: it cannot take a batch of one
            nn.Linear(8, 2),
        )


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def make_segments():
    return segments_of


@pytest.fixture
def make_network():
    return network_of


@pytest.fixture
def make_split():
    return lambda train, valid=40: Split(
        train=segments_of(train, seed=1), valid=segments_of(valid, seed=2) if valid else None
    )


@pytest.fixture
def split(make_split):
    return make_split(100)


@pytest.fixture
def cpu():
    return torch.device("cpu")
