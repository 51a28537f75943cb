"""Linear: one weight per sample and class, the baseline for all networks."""

from torch import nn

from atml.models.architecture import Architecture, Config


class LinearConfig(Config):
    """A linear classifier has no width."""


def build(_config: LinearConfig, segment_length: int) -> nn.Module:
    """Return logistic regression on the raw samples."""
    return nn.Sequential(nn.Flatten(), nn.Linear(segment_length, 2))


LINEAR = Architecture(
    name="linear",
    config=LinearConfig,
    network=build,
    minimum_length=2,  # a segment of one sample has no variance to scale by
)
