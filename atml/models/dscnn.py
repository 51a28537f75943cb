"""DSCNN: depthwise-separable convolutions, as used for keyword spotting (Zhang et al., 2017)."""

from torch import nn

from atml.models.architecture import Architecture, Config, width
from atml.models.layers import pooled_classifier, separable, stem

STRIDES = (2, 1, 2, 1)
KERNEL = 9


class DSCNNConfig(Config):
    """A stem of `channels`, then four separable layers with twice as many."""

    channels: int = width(16, minimum=2)
    dropout: float = 0.1


def build(config: DSCNNConfig, _segment_length: int) -> nn.Module:
    """Return the network; the global pool makes it independent of the segment's length."""
    inputs, outputs = config.channels, 2 * config.channels
    layers: list[nn.Module] = [stem(inputs, 21, stride=8)]
    for stride in STRIDES:
        layers.append(separable(inputs, outputs, KERNEL, stride=stride))
        inputs = outputs
    return nn.Sequential(*layers, *pooled_classifier(inputs, config.dropout))


DSCNN = Architecture(
    name="dscnn",
    config=DSCNNConfig,
    network=build,
    minimum_length=33,  # leaves two positions, which BatchNorm needs to train on one segment
)
