"""Training of one network on segments in memory, epoch by epoch, independent of the search."""

from atml.training.augmentation import Augmentation
from atml.training.batches import WithoutValidation
from atml.training.device import choose_device, describe_device, spread_over_devices
from atml.training.early_stopping import EarlyStopping
from atml.training.epoch import Epoch, TrainingState
from atml.training.loop import train
from atml.training.prediction import predict
from atml.training.settings import AugmentationSettings, TrainingSettings

__all__ = [
    "Augmentation",
    "AugmentationSettings",
    "EarlyStopping",
    "Epoch",
    "TrainingSettings",
    "TrainingState",
    "WithoutValidation",
    "choose_device",
    "describe_device",
    "predict",
    "spread_over_devices",
    "train",
]
