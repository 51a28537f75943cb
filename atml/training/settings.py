"""What can be set about training, with the defaults that a search uses."""

import math
from dataclasses import dataclass
from typing import Literal

LARGEST_COUNT = 10**9  # so that no figure worked out from a count overflows


def _check(settings: object, name: str, low: float, high: float) -> None:
    value = getattr(settings, name)
    if value is not None and not (low <= value <= high and value < math.inf):
        bounds = f"at least {low}" if math.isinf(high) else f"from {low} to {high}"
        raise ValueError(f"{name} must be {bounds}, but got {value}.")


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, but got {value!r}.")


@dataclass(frozen=True, kw_only=True)
class AugmentationSettings:
    """How training segments are varied, anew in every epoch; strength 0 turns a change off.

    Each of the first five changes happens to a segment with `probability`, independently of the
    others. Amplitudes are in the units of the segments themselves.
    """

    probability: float = 0.8
    amplitude: float = 0.2  # multiplied by 1 ± this
    noise: float = 0.05  # white noise with a standard deviation of up to this
    baseline_wander: float = 0.1  # slow waves, .5 to 2.5 in a segment, of this root mean square
    time_stretch: float = 0.1  # heart rate multiplied by 1 ± this
    shift: float = 0.1  # moved by up to this share of a segment, either way
    # Cures a network that has never seen a reversed electrode, but costs accuracy elsewhere.
    polarity_flip: float = 0.0  # probability, alone

    def __post_init__(self) -> None:
        """Refuse values that have no meaning."""
        for name in ("probability", "polarity_flip"):
            _check(self, name, 0, 1)
        _check(self, "amplitude", 0, 0.9)
        for name in ("time_stretch", "shift"):
            _check(self, name, 0, 0.5)  # what reaches over an end is mirrored, and only once
        for name in ("noise", "baseline_wander"):
            _check(self, name, 0, math.inf)


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How a network is trained.

    An epoch is `segments_per_epoch` segments (all of them if None), drawn so that all are seen
    equally often; fewer make short, comparable epochs out of a large set, and
    more take several passes over a small one. `schedule` is one
    warm-up and one decay over all epochs ("one-cycle"), a rate that is halved when the loss stays
    ("plateau"), or nothing ("constant"). `class_weights` "balanced" weighs both classes the same
    in the loss, however rare one is. `ema_decay` is the decay a step of the running average of the
    weights, which is what gets validated and kept; None validates the weights themselves.
    `gradient_clip` is the largest gradient norm; None does not clip. Training stops early after
    `patience` epochs without a better validation loss (None: never), but only once the training
    loss is below it by more than `gap`.
    """

    learning_rate: float = 0.02
    epochs: int = 6
    # Small networks are bound by what a step costs besides arithmetic: with 256 segments in it they train
    # twice as fast as with 64, and at two to four times the learning rate as well.
    batch_size: int = 256
    segments_per_epoch: int | None = 8192
    weight_decay: float = 0.01
    schedule: Literal["one-cycle", "plateau", "constant"] = "one-cycle"
    label_smoothing: float = 0.0
    class_weights: Literal["none", "balanced"] = "none"
    ema_decay: float | None = 0.95  # longer ones lag behind the last steps of short runs
    gradient_clip: float | None = 5.0
    # A length that is the same with and without validation: what is shipped has none to stop by.
    patience: int | None = None
    gap: float = 0.01
    seed: int = 0
    augmentation: AugmentationSettings = AugmentationSettings()

    def __post_init__(self) -> None:
        """Refuse values that have no meaning."""
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise ValueError(f"learning_rate must be positive, but got {self.learning_rate}.")
        for name, lowest in (("epochs", 1), ("batch_size", 2), ("segments_per_epoch", 2), ("patience", 1)):
            _check(self, name, lowest, LARGEST_COUNT)
        for name in ("weight_decay", "gap", "seed"):
            _check(self, name, 0, math.inf)
        _check(self, "label_smoothing", 0, 0.5)
        _check(self, "ema_decay", 0, 0.99999)
        if self.gradient_clip is not None and not 0 < self.gradient_clip < math.inf:
            raise ValueError(f"gradient_clip must be positive or None, but got {self.gradient_clip}.")
        _check_choice("schedule", self.schedule, ("one-cycle", "plateau", "constant"))
        _check_choice("class_weights", self.class_weights, ("none", "balanced"))
