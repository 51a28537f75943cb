"""AFNet: five strided convolutions, squeeze-excite and two fully connected layers."""

from collections import OrderedDict

from torch import nn

from atml.models.architecture import Architecture, Config, width
from atml.models.layers import SqueezeExcite
from atml.models.layout import BatchNorm1d, Conv1d, Dropout

KERNELS = (6, 5, 4, 4, 4)
MULTIPLIERS = (1, 2, 4, 8, 8)
SQUEEZE_EXCITE_AFTER = (2, 4)  # the third and the fifth convolution
STRIDE = 2


class AFNetConfig(Config):
    """AFNet's widths; the defaults are the original's and give 19,688 parameters at 1250 samples."""

    channels: int = width(4)  # convolution i has channels * MULTIPLIERS[i]
    fc: int = width(2)  # the first fully connected layer has 5 * fc outputs
    dropout: float = 0.5


def build(config: AFNetConfig, segment_length: int) -> nn.Module:
    """Return the original's best network, as Conv1d."""
    layers: list[nn.Module] = []
    inputs, length = 1, segment_length
    for index, (kernel, multiplier) in enumerate(zip(KERNELS, MULTIPLIERS, strict=True)):
        outputs = config.channels * multiplier
        # BatchNorm follows the activation, as in the original, so it cannot be folded into its
        # own convolution; the export folds it into the next one.
        layers += [Conv1d(inputs, outputs, kernel, STRIDE), nn.SiLU(), BatchNorm1d(outputs)]
        if index in SQUEEZE_EXCITE_AFTER:
            layers.append(SqueezeExcite(outputs, hidden=outputs // 4))
        inputs, length = outputs, (length - kernel) // STRIDE + 1
    features = nn.Sequential(*layers)
    classifier = nn.Sequential(
        nn.Flatten(),
        Dropout(config.dropout),
        nn.Linear(inputs * length, 5 * config.fc),
        nn.ReLU(),
        nn.Linear(5 * config.fc, 2),
    )
    return nn.Sequential(OrderedDict(features=features, classifier=classifier))


AFNET = Architecture(
    name="afnet",
    config=AFNetConfig,
    network=build,
    minimum_length=98,  # leaves one sample after the fifth convolution
)
