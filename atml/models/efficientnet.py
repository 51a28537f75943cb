"""EfficientNet: MBConv blocks with squeeze-excite (Tan and Le, 2019), in 1-D."""

from torch import nn

from atml.models.architecture import Architecture, Config, width
from atml.models.layers import InvertedResidual, MeanPool, convolution, stem
from atml.models.layout import Dropout

# (width as a multiple of `channels`, kernel, stride) of each block
BLOCKS = ((1, 3, 1), (2, 5, 2), (2, 5, 1), (3, 7, 2), (3, 7, 1))


class EfficientNetConfig(Config):
    """Blocks of channels * (1, 2, 3), and a head of `head` channels before the pool."""

    channels: int = width(8, minimum=2)
    head: int = width(48, minimum=4)
    expansion: int = 3
    dropout: float = 0.2


def build(config: EfficientNetConfig, _segment_length: int) -> nn.Module:
    """Return the network; the global pool makes it independent of the segment's length."""
    inputs = config.channels
    layers: list[nn.Module] = [stem(inputs, 21, stride=10)]
    for multiplier, kernel, stride in BLOCKS:
        outputs = config.channels * multiplier
        layers.append(
            InvertedResidual(
                inputs,
                outputs,
                kernel,
                stride=stride,
                expansion=config.expansion,
                activation=nn.SiLU,
                squeeze_excite=True,
            )
        )
        inputs = outputs
    return nn.Sequential(
        *layers,
        convolution(inputs, config.head, 1),
        MeanPool(),
        Dropout(config.dropout),
        nn.Linear(config.head, 2),
    )


EFFICIENTNET = Architecture(
    name="efficientnet",
    config=EfficientNetConfig,
    network=build,
    minimum_length=41,  # leaves two positions, which BatchNorm needs to train on one segment
)
