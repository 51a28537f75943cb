"""OptimizedAFNet: three convolutions and a global average pool."""

from torch import nn

from atml.models.architecture import Architecture, Config, width
from atml.models.layers import MeanPool, convolution, stem
from atml.models.layout import Dropout


class OptimizedAFNetConfig(Config):
    """Three convolutions of channels * (1, 2, 4)."""

    channels: int = width(8, minimum=2)
    dropout: float = 0.1


def build(config: OptimizedAFNetConfig, _segment_length: int) -> nn.Module:
    """Return the network; the global pool makes it independent of the segment's length."""
    c = config.channels
    return nn.Sequential(
        stem(c, 15, stride=4),
        convolution(c, 2 * c, 9, stride=4),
        convolution(2 * c, 4 * c, 5, stride=2),
        MeanPool(),
        Dropout(config.dropout),
        nn.Linear(4 * c, 2),
    )


OPTIMIZED_AFNET = Architecture(
    name="optimized_afnet",
    config=OptimizedAFNetConfig,
    network=build,
    minimum_length=33,  # leaves two positions, which BatchNorm needs to train on one segment
)
