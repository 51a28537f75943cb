"""TCN: dilated depthwise-separable residual blocks with a long receptive field."""

from torch import Tensor, nn

from atml.models.architecture import Architecture, Config, width
from atml.models.layers import convolution, pooled_classifier, separable, stem

# On every 10th sample, kernels of 7 dilated by 1, 2, 4 and 8 cover 91 positions, or 3.6 s:
# four or five heartbeats, enough to tell an irregular rhythm from a regular one.
DILATIONS = (1, 2, 4, 8)
KERNEL = 7


class TCNConfig(Config):
    """A stem of `stem` channels at every 5th sample, then `channels` at every 10th."""

    stem: int = width(8, minimum=2)
    channels: int = width(24, minimum=2)
    dropout: float = 0.1


class DilatedBlock(nn.Module):
    """A dilated separable convolution added to its input."""

    def __init__(self, channels: int, *, dilation: int) -> None:
        super().__init__()
        self.layers = separable(channels, channels, KERNEL, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of the same shape as `x`."""
        y: Tensor = x + self.layers(x)
        return y


def build(config: TCNConfig, _segment_length: int) -> nn.Module:
    """Return the network; the global pool makes it independent of the segment's length."""
    return nn.Sequential(
        stem(config.stem, 15, stride=5),
        convolution(config.stem, config.channels, 7, stride=2),
        *(DilatedBlock(config.channels, dilation=dilation) for dilation in DILATIONS),
        *pooled_classifier(config.channels, config.dropout),
    )


TCN = Architecture(
    name="tcn",
    config=TCNConfig,
    network=build,
    minimum_length=11,  # leaves two positions, which BatchNorm needs to train on one segment
)
