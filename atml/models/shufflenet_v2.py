"""ShuffleNetV2: split, transform one half, shuffle (Ma et al., 2018), in 1-D."""

import torch
from torch import Tensor, nn

from atml.models.architecture import Architecture, Config, width
from atml.models.layers import convolution, pooled_classifier, stem

STAGES = (2, 2, 2)  # units per stage; the first halves the time and doubles the width
KERNEL = 5
# Not the paper's ReLU: with so few channels, hard swish learns the rhythm far better.
ACTIVATION = nn.Hardswish


class ShuffleNetV2Config(Config):
    """Stages of 4, 8 and 16 times `channels`, and a head of `head` channels before the pool."""

    channels: int = width(4)
    head: int = width(64, minimum=4)
    dropout: float = 0.2


class ShuffleUnit(nn.Module):
    """Transform half of the channels; the other half is passed on, or also halved in time."""

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        half = outputs // 2
        self.width = half
        self.splits = stride == 1
        branch_inputs = half if self.splits else inputs
        self.branch = nn.Sequential(
            convolution(branch_inputs, half, 1, activation=ACTIVATION),
            convolution(half, half, KERNEL, stride=stride, groups=half, activation=None),
            convolution(half, half, 1, activation=ACTIVATION),
        )
        self.other = (
            nn.Identity()
            if self.splits
            else nn.Sequential(
                convolution(inputs, inputs, KERNEL, stride=stride, groups=inputs, activation=None),
                convolution(inputs, half, 1, activation=ACTIVATION),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return [batch, outputs, ceil(time / stride)], the two halves interleaved."""
        kept, transformed = torch.split(x, self.width, dim=1) if self.splits else (x, x)
        halves = torch.stack([self.other(kept), self.branch(transformed)], dim=2)
        # int(): the exporter would otherwise compute this shape at run time, and be 12 ms slower.
        return halves.reshape(-1, 2 * self.width, int(halves.shape[3]))


def build(config: ShuffleNetV2Config, _segment_length: int) -> nn.Module:
    """Return the network; the global pool makes it independent of the segment's length."""
    inputs = 2 * config.channels
    layers: list[nn.Module] = [stem(inputs, 15, stride=5)]
    for units in STAGES:
        outputs = 2 * inputs
        layers.append(ShuffleUnit(inputs, outputs, stride=2))
        layers += [ShuffleUnit(outputs, outputs, stride=1) for _ in range(units - 1)]
        inputs = outputs
    return nn.Sequential(
        *layers,
        convolution(inputs, config.head, 1, activation=ACTIVATION),
        *pooled_classifier(config.head, config.dropout),
    )


SHUFFLENET_V2 = Architecture(
    name="shufflenet_v2",
    config=ShuffleNetV2Config,
    network=build,
    minimum_length=41,  # leaves two positions, which BatchNorm needs to train on one segment
)
