"""TinyCNN: as few layers as a file of 2 KB has room for."""

from torch import nn

from atml.models.architecture import Architecture, Config, width
from atml.models.layers import MeanStdPool, convolution, stem

STRIDES = (2, 2, 1)


class TinyCNNConfig(Config):
    """A stem of `channels`, then three convolutions with twice as many."""

    channels: int = width(8, minimum=2)


def build(config: TinyCNNConfig, _segment_length: int) -> nn.Module:
    """Return the network; the global pool makes it independent of the segment's length."""
    inputs, outputs = config.channels, 2 * config.channels
    layers: list[nn.Module] = [stem(inputs, 21, stride=8)]
    for stride in STRIDES:
        layers.append(convolution(inputs, outputs, 5, stride=stride, activation=nn.ReLU))
        inputs = outputs
    return nn.Sequential(*layers, MeanStdPool(), nn.Linear(2 * inputs, 2))


TINY_CNN = Architecture(
    name="tiny_cnn",
    config=TinyCNNConfig,
    network=build,
    minimum_length=33,  # leaves two positions, which BatchNorm needs to train on one segment
)
