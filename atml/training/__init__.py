"""Training of one network on segments in memory, epoch by epoch, independent of the search."""

from atml.training.batches import WithoutValidation
from atml.training.device import choose_device, describe_device, spread_over_devices
from atml.training.epoch import TrainingState
from atml.training.loop import train
from atml.training.prediction import predict
from atml.training.settings import AugmentationSettings, TrainingSettings

__all__ = [
    "AugmentationSettings",
    "TrainingSettings",
    "TrainingState",
    "WithoutValidation",
    "choose_device",
    "describe_device",
    "predict",
    "spread_over_devices",
    "train",
]
