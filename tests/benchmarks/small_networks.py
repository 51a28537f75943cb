"""How fast small networks train: batches of 64 and of 256, and several networks stacked into one, in one run.

    python -m tests.benchmarks.small_networks [--rounds 5] [--architecture dscnn …]

See README.md beside this file for what is compared and how to read it.
"""

import argparse
import copy
import statistics
import time

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import nn

from atml.models import ARCHITECTURES, get_architecture
from atml.models.layers import MeanPool, MeanStdPool
from atml.models.layout import BatchNorm1d, Conv1d
from atml.training import TrainingSettings, WithoutValidation, train
from atml.tuning.candidates import sized_candidates

LENGTH = 1250
SIZES = (4_000, 12_000, 43_000)
BATCHES = (64, 256)
STACK = 3  # the folds that a candidate which leads has still to be trained on
STACKED = ("simple_resnet", "dscnn", "simple_cnn", "conv_mixer")  # whose layers the stack below knows
SEGMENTS = 2048


class Noise:
    """White noise as segments; what is in them does not change the speed."""

    def __init__(self, count):
        rng = np.random.default_rng(0)
        self._samples = rng.standard_normal((count, LENGTH), dtype=np.float32)
        self.labels = np.arange(count) % 2
        self.segment_length = LENGTH

    def __len__(self):
        return len(self._samples)

    def samples(self, where):
        return self._samples[where]


def samples_a_second(candidate, batch_size, noise):
    """Return the samples a second of CPU of a whole training step: augmentation, average and all."""
    settings = TrainingSettings(epochs=2, batch_size=batch_size, segments_per_epoch=SEGMENTS)
    network = candidate.proposal(0.01).build(LENGTH, seed=0)
    begun = None
    for _ in train(network, WithoutValidation(train=noise), settings, device=torch.device("cpu")):
        if begun is None:  # the first epoch warms up
            begun = time.process_time()
    return SEGMENTS / (time.process_time() - begun)


# --- Several networks as one, by grouped convolutions ---------------------------------------------------


def stacked(module, count):
    """Return a network of `count` independent copies: channels and groups times `count`."""
    if isinstance(module, nn.Conv1d):
        return Conv1d(
            module.in_channels * count,
            module.out_channels * count,
            module.kernel_size[0],
            module.stride[0],
            module.padding[0],
            module.dilation[0],
            module.groups * count,
            module.bias is not None,
        )
    if isinstance(module, nn.BatchNorm1d):
        return BatchNorm1d(module.num_features * count)
    if isinstance(module, nn.Linear):
        return StackedLinear(module.in_features, module.out_features, count)
    if isinstance(module, MeanStdPool | MeanPool):
        return StackedPool(module, count)
    twin = copy.copy(module)
    twin._modules = {name: part and stacked(part, count) for name, part in module._modules.items()}
    return twin


class StackedPool(nn.Module):
    """Pools [batch, count * channels, time] to [batch, count, features]."""

    def __init__(self, pool, count):
        super().__init__()
        self.pool, self.count = pool, count

    def forward(self, x):
        batch, channels, time_ = x.shape
        pooled = self.pool(x.reshape(batch * self.count, channels // self.count, time_))
        return pooled.reshape(batch, self.count, -1)


class StackedLinear(nn.Module):
    """One layer for each network: [batch, count, inputs] -> [batch, count, outputs]."""

    def __init__(self, inputs, outputs, count):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(count, inputs, outputs) / inputs**0.5)
        self.bias = nn.Parameter(torch.zeros(count, 1, outputs))

    def forward(self, x):
        return torch.baddbmm(self.bias, x.transpose(0, 1), self.weight).transpose(0, 1)


def plain_steps(network, count, batch_size, steps):
    """Return the CPU seconds of some steps on `count` networks' batches: forward, backward, AdamW."""
    optimiser = torch.optim.AdamW(network.parameters(), 1e-3, fused=True)
    ecg = torch.randn(batch_size, count, LENGTH)
    labels = torch.arange(batch_size * count) % 2
    begun = 0.0
    for step in range(steps + 2):
        if step == 2:
            begun = time.process_time()
        nn.functional.cross_entropy(network(ecg).reshape(-1, 2), labels).backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    return time.process_time() - begun


def gain_of_stacking(candidate, batch_size, steps=8):
    """Return how many times as fast `STACK` networks train as one stack as one after the other."""
    one = candidate.proposal(0.01).build(LENGTH, seed=0).train()
    many = stacked(one, STACK).train()
    return STACK * plain_steps(one, 1, batch_size, steps) / plain_steps(many, STACK, batch_size, steps)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--architecture", nargs="*", default=list(ARCHITECTURES), choices=list(ARCHITECTURES))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    noise = Noise(4096)
    table = Table(title="samples a second of one core, medians")
    for name in ("architecture", "ONNX", "batch 64", "batch 256", "ratio", "3 stacked, 64", "3 stacked, 256"):
        table.add_column(name, justify="left" if name == "architecture" else "right")
    for name in track(arguments.architecture, description="measuring", transient=True):
        for candidate in sized_candidates([name], sizes_of(name), LENGTH)[:3]:
            speeds = {size: [] for size in BATCHES}
            gains = {size: [] for size in BATCHES}
            for _ in range(arguments.rounds):
                for size in BATCHES:
                    speeds[size].append(samples_a_second(candidate, size, noise))
                    if name in STACKED:
                        gains[size].append(gain_of_stacking(candidate, size))
            ratios = [large / small for small, large in zip(speeds[64], speeds[256], strict=True)]
            table.add_row(
                name,
                f"{candidate.onnx_bytes:,}",
                *(f"{statistics.median(speeds[size]):,.0f}" for size in BATCHES),
                f"{statistics.median(ratios):.2f}",
                *(f"{statistics.median(gains[size]):.2f}" if gains[size] else "" for size in BATCHES),
            )
    Console().print(table)


def sizes_of(name):
    """Return three sizes that an architecture can be scaled to."""
    if not get_architecture(name).minimum_widths:
        return (43_000,)
    (smallest, *_) = sized_candidates([name], SIZES, LENGTH)
    return sorted({max(size, round(1.5 * smallest.onnx_bytes)) for size in SIZES} | {smallest.onnx_bytes})


if __name__ == "__main__":
    main()
