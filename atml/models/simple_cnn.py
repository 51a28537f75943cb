"""SimpleCNN: convolutions with max pooling, as in an introductory deep learning course."""

from torch import nn

from atml.models.architecture import Architecture, Config, width
from atml.models.layers import MeanStdPool, convolution, stem
from atml.models.layout import Dropout, HalvingMaxPool1d


class SimpleCNNConfig(Config):
    """Four convolutions of channels * (1, 2, 3, 4), then a hidden dense layer."""

    channels: int = width(8, minimum=2)
    hidden: int = width(16, minimum=2)
    dropout: float = 0.2


def build(config: SimpleCNNConfig, _segment_length: int) -> nn.Module:
    """Return the network; the global pool makes it independent of the segment's length."""
    c = config.channels
    return nn.Sequential(
        stem(c, 15, stride=3),
        HalvingMaxPool1d(),
        convolution(c, 2 * c, 9, activation=nn.ReLU),
        HalvingMaxPool1d(),
        convolution(2 * c, 3 * c, 7, activation=nn.ReLU),
        HalvingMaxPool1d(),
        convolution(3 * c, 4 * c, 7, activation=nn.ReLU),
        MeanStdPool(),
        Dropout(config.dropout),
        nn.Linear(8 * c, config.hidden),
        nn.ReLU(),
        nn.Linear(config.hidden, 2),
    )


SIMPLE_CNN = Architecture(
    name="simple_cnn",
    config=SimpleCNNConfig,
    network=build,
    minimum_length=46,  # leaves two positions, which BatchNorm needs to train on one segment
)
