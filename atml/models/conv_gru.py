"""ConvGRU: convolutions find the waves, a recurrent layer follows the rhythm."""

import torch
from torch import Tensor, nn

from atml.models.architecture import Architecture, Config, width
from atml.models.layers import convolution, separable, stem


class ConvGRUConfig(Config):
    """The widths 8 and 16 give 4.8 k parameters, 6 and 8 give 1.9 k."""

    channels: int = width(8, minimum=2)
    hidden: int = width(16, minimum=2)  # of the GRU, in each direction


class ConvGRU(nn.Module):
    """Two strided convolutions, a separable one, a bidirectional GRU over every 30th sample."""

    def __init__(self, config: ConvGRUConfig, _segment_length: int) -> None:
        super().__init__()
        c = config.channels
        self.features = nn.Sequential(
            stem(c, 11, stride=5),
            convolution(c, 2 * c, 7, stride=3),
            separable(2 * c, 2 * c, 5, stride=2),
        )
        self.rhythm = nn.GRU(2 * c, config.hidden, bidirectional=True)
        self.classifier = nn.Linear(4 * config.hidden, 2)

    def forward(self, ecg: Tensor) -> Tensor:
        """Return the logits: [batch, 1, time] -> [batch, 2]."""
        # Time comes first, as ONNX's GRU requires.
        states, _ = self.rhythm(self.features(ecg).permute(2, 0, 1))
        pooled = torch.cat([states.mean(dim=0), states.amax(dim=0)], dim=1)
        logits: Tensor = self.classifier(pooled)
        return logits


CONV_GRU = Architecture(
    name="conv_gru",
    config=ConvGRUConfig,
    network=ConvGRU,
    minimum_length=31,  # leaves two positions, which BatchNorm needs to train on one segment
)
