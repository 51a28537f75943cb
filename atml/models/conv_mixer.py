"""ConvMixer: large depthwise kernels mix time, pointwise ones mix channels (Trockman, 2022)."""

from torch import Tensor, nn

from atml.models.architecture import Architecture, Config, width
from atml.models.layers import convolution, pooled_classifier, stem

DEPTH = 3


class ConvMixerConfig(Config):
    """`channels` features of each patch, mixed over `kernel` patches; `kernel` must be odd."""

    channels: int = width(24, minimum=2)
    kernel: int = 25
    dropout: float = 0.1


class MixerBlock(nn.Module):
    """Mix time and add the input, then mix channels."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.time = convolution(channels, channels, kernel, groups=channels)
        self.channels = convolution(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of the same shape as `x`."""
        y: Tensor = self.channels(x + self.time(x))
        return y


def build(config: ConvMixerConfig, _segment_length: int) -> nn.Module:
    """Return the network; the global pool makes it independent of the segment's length."""
    if config.kernel % 2 == 0:
        raise ValueError(f"kernel must be odd but got {config.kernel}.")
    c = config.channels
    return nn.Sequential(
        stem(c, 25, stride=10),
        *(MixerBlock(c, config.kernel) for _ in range(DEPTH)),
        *pooled_classifier(c, config.dropout),
    )


CONV_MIXER = Architecture(
    name="conv_mixer",
    config=ConvMixerConfig,
    network=build,
    minimum_length=11,  # leaves two positions, which BatchNorm needs to train on one segment
)
