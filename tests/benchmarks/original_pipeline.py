"""How the original trained AFNet: the baseline of the training benchmark.

One text file a segment, parsed with `np.loadtxt` for every sample of every epoch by the processes
of a DataLoader; an image network whose images are one pixel wide; plain AdamW.
"""

import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

KERNELS = (6, 5, 4, 4, 4)
CHANNELS = (4, 8, 16, 32, 32)
SQUEEZE_EXCITE_AFTER = (2, 4)


class SqueezeExcite2d(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, channels // 4, 1),
            nn.SiLU(),
            nn.Conv2d(channels // 4, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x):
        return x * self.gate(x)


class AFNet2d(nn.Module):
    """AFNet over [batch, 1, samples, 1], with as many parameters as ATML's over [batch, 1, samples]."""

    def __init__(self, segment_length=1250):
        super().__init__()
        layers, inputs, length = [], 1, segment_length
        for index, (kernel, outputs) in enumerate(zip(KERNELS, CHANNELS, strict=True)):
            layers += [
                nn.Conv2d(inputs, outputs, (kernel, 1), (2, 1)),
                nn.SiLU(),
                nn.BatchNorm2d(outputs),
            ]
            if index in SQUEEZE_EXCITE_AFTER:
                layers.append(SqueezeExcite2d(outputs))
            inputs, length = outputs, (length - kernel) // 2 + 1
        self.layers = nn.Sequential(
            *layers,
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(inputs * length, 10),
            nn.ReLU(),
            nn.Linear(10, 2),
        )

    def forward(self, x):
        return self.layers(x)


class SegmentFiles(Dataset):
    """Reads a file each time that its segment is asked for."""

    def __init__(self, directory):
        self.paths = sorted(Path(directory).glob("*.txt"))

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        path = self.paths[index]
        samples = np.loadtxt(path, dtype=np.float32).reshape(1, -1, 1)
        return samples, int(path.name.split("-")[1] == "AFIB")


class OriginalTraining:
    """Epochs over a directory of segment files; keeps its loader processes between them."""

    def __init__(self, directory, *, batch_size, processes):
        self.loader = DataLoader(
            SegmentFiles(directory),
            batch_size=batch_size,
            shuffle=True,
            drop_last=True,
            num_workers=processes,
            persistent_workers=processes > 0,
        )
        self.network = AFNet2d().train()
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=3e-3)

    def epoch(self):
        """Return samples a second, from asking for the first batch to the last step."""
        start, seen = time.perf_counter(), 0
        for samples, labels in self.loader:
            self.optimiser.zero_grad()
            loss = nn.functional.cross_entropy(self.network(samples), labels)
            loss.backward()
            self.optimiser.step()
            seen += len(labels)
        return seen / (time.perf_counter() - start)
