"""ResNet1d: a small version of the ResNet of the ECG literature."""

from torch import nn

from atml.models.architecture import Architecture, Config, width
from atml.models.layers import ResidualBlock, pooled_classifier, stem

MULTIPLIERS = (1, 2, 3, 4)
STRIDES = (1, 2, 2, 2)
BLOCKS = 2  # per width


class ResNet1dConfig(Config):
    """Four stages of channels * MULTIPLIERS, two blocks each."""

    channels: int = width(8, minimum=2)
    dropout: float = 0.2


def build(config: ResNet1dConfig, _segment_length: int) -> nn.Module:
    """Return the network; the global pool makes it independent of the segment's length."""
    inputs = config.channels
    layers: list[nn.Module] = [stem(inputs, 15, stride=5)]
    for multiplier, stage_stride in zip(MULTIPLIERS, STRIDES, strict=True):
        outputs = config.channels * multiplier
        for block in range(BLOCKS):
            stride = stage_stride if block == 0 else 1
            layers.append(ResidualBlock(inputs, outputs, 5, stride=stride))
            inputs = outputs
    return nn.Sequential(*layers, *pooled_classifier(inputs, config.dropout))


RESNET1D = Architecture(
    name="resnet1d",
    config=ResNet1dConfig,
    network=build,
    minimum_length=41,  # leaves two positions, which BatchNorm needs to train on one segment
)
