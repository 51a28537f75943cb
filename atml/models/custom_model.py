"""CustomModel: one branch of large kernels for rhythm, one of small kernels for the waves."""

import torch
from torch import Tensor, nn

from atml.models.architecture import Architecture, Config, width
from atml.models.layers import MeanStdPool, convolution, separable, stem
from atml.models.layout import Dropout


class CustomModelConfig(Config):
    """The widths of the two branches."""

    rhythm_channels: int = width(12, minimum=2)
    wave_channels: int = width(8, minimum=2)
    dropout: float = 0.2


class CustomModel(nn.Module):
    """Two branches over the same segment, pooled and joined: [batch, 1, time] -> [batch, 2]."""

    def __init__(self, config: CustomModelConfig, _segment_length: int) -> None:
        super().__init__()
        rhythm, wave = config.rhythm_channels, config.wave_channels
        # 31 positions of 10 samples are 1.2 s, more than one heartbeat, so two layers cover three beats.
        self.rhythm = nn.Sequential(
            stem(rhythm, 25, stride=10),
            separable(rhythm, 2 * rhythm, 31),
            separable(2 * rhythm, 2 * rhythm, 31),
            MeanStdPool(),
        )
        self.wave = nn.Sequential(
            stem(wave, 7, stride=3),
            convolution(wave, 2 * wave, 5, stride=3),
            convolution(2 * wave, 2 * wave, 5, stride=2),
            MeanStdPool(),
        )
        self.classifier = nn.Sequential(Dropout(config.dropout), nn.Linear(4 * (rhythm + wave), 2))

    def forward(self, ecg: Tensor) -> Tensor:
        """Return the logits."""
        features = torch.cat([self.rhythm(ecg), self.wave(ecg)], dim=1)
        logits: Tensor = self.classifier(features)
        return logits


CUSTOM_MODEL = Architecture(
    name="custom_model",
    config=CustomModelConfig,
    network=CustomModel,
    minimum_length=19,  # leaves two positions, which BatchNorm needs to train on one segment
)
