"""MobileNet: inverted residual blocks on a strided stem (Howard et al., 2019), in 1-D."""

from torch import nn

from atml.models.architecture import Architecture, Config, width
from atml.models.layers import InvertedResidual, convolution, pooled_classifier, stem

# (width as a multiple of `channels`, stride) of each block
BLOCKS = ((1, 1), (2, 2), (2, 1), (3, 2), (3, 1))
KERNEL = 7


class MobileNetConfig(Config):
    """Blocks of channels * (1, 2, 3), and a head of `head` channels before the pool."""

    channels: int = width(8, minimum=2)
    head: int = width(48, minimum=4)
    expansion: int = 3
    dropout: float = 0.2


def build(config: MobileNetConfig, _segment_length: int) -> nn.Module:
    """Return the network; the global pool makes it independent of the segment's length."""
    inputs = config.channels
    layers: list[nn.Module] = [stem(inputs, 21, stride=10)]
    for multiplier, stride in BLOCKS:
        outputs = config.channels * multiplier
        layers.append(
            InvertedResidual(
                inputs,
                outputs,
                KERNEL,
                stride=stride,
                expansion=config.expansion,
                activation=nn.Hardswish,
            )
        )
        inputs = outputs
    return nn.Sequential(
        *layers,
        # The blocks end linearly, and without an activation before it the mean would carry little.
        convolution(inputs, config.head, 1, activation=nn.Hardswish),
        *pooled_classifier(config.head, config.dropout),
    )


MOBILENET = Architecture(
    name="mobilenet",
    config=MobileNetConfig,
    network=build,
    minimum_length=41,  # leaves two positions, which BatchNorm needs to train on one segment
)
