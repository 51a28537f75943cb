"""SimpleResNet: a strided stem and three residual blocks."""

from torch import nn

from atml.models.architecture import Architecture, Config, width
from atml.models.layers import ResidualBlock, pooled_classifier, stem


class SimpleResNetConfig(Config):
    """Three blocks of channels * (1, 2, 3)."""

    channels: int = width(8, minimum=2)
    dropout: float = 0.1


def build(config: SimpleResNetConfig, _segment_length: int) -> nn.Module:
    """Return the network; the global pool makes it independent of the segment's length."""
    c = config.channels
    return nn.Sequential(
        stem(c, 15, stride=5),
        ResidualBlock(c, c, 7, stride=2),
        ResidualBlock(c, 2 * c, 7, stride=2),
        ResidualBlock(2 * c, 3 * c, 7, stride=2),
        *pooled_classifier(3 * c, config.dropout),
    )


SIMPLE_RESNET = Architecture(
    name="simple_resnet",
    config=SimpleResNetConfig,
    network=build,
    minimum_length=41,  # leaves two positions, which BatchNorm needs to train on one segment
)
