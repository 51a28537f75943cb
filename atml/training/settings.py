"""Training settings, with the defaults that a search uses."""

import math
from dataclasses import dataclass
from typing import Literal

LARGEST_COUNT = 10**9  # so that no value computed from a count overflows


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
    """How training segments are augmented in every epoch; strength 0 turns a change off.

    Amplitudes are relative to the standard deviation of the segment. Gain and polarity are not varied: no
    network depends on the gain, and of ATML's architectures only `afnet` and `linear` on the polarity.
    """

    probability: float = 0.8
    """Probability of each of the following changes but the last, for each segment and independently."""
    noise: float = 0.6
    """White noise up to this standard deviation, in standard deviations of the segment."""
    baseline_wander: float = 0.4
    """Slow waves, .5 to 2.5 per segment, with this root mean square, in standard deviations of the
    segment."""
    time_stretch: float = 0.3
    """Scale the heart rate by a factor between 1 - this and 1 + this."""
    shift: float = 0.1
    """Move by up to this fraction of a segment, either way."""
    flat_line: float = 0.02  # about five segments in a batch of 256
    """Probability that a segment is replaced by a flat line labelled Normal."""

    def __post_init__(self) -> None:
        for name in ("probability", "flat_line"):
            _check(self, name, 0, 1)
        for name in ("time_stretch", "shift"):
            _check(self, name, 0, 0.5)  # what goes past an end is mirrored, but only once
        for name in ("noise", "baseline_wander"):
            _check(self, name, 0, math.inf)


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How every network is trained, in the search and when it is shipped."""

    learning_rate: float = 0.02
    """AdamW's learning rate, the highest of the schedule."""
    epochs: int = 6
    """Number of epochs."""
    batch_size: int = 256
    """Segments per step. Small networks are limited by the overhead of a step: they train twice as fast as
    with 64, and as well at two to four times the learning rate."""
    segments_per_epoch: int | None = 8192
    """Segments in an epoch, chosen so that all are seen equally often. Shorter epochs let the pruner decide
    sooner. In Python, None takes each segment once."""
    simulated: float = 0.0
    """Share of each batch that consists of simulated segments, up to .5. Without effect if AFIB is not one of
    the rhythms to find."""
    weight_decay: float = 0.01
    """AdamW's weight decay."""
    schedule: Literal["one-cycle", "plateau", "constant"] = "one-cycle"
    """One warm-up and one decay over all epochs (`"one-cycle"`), a rate that is halved when the loss stops
    improving (`"plateau"`), or a fixed rate (`"constant"`)."""
    label_smoothing: float = 0.0
    """Part of the label's probability that is spread evenly over both classes in the loss."""
    class_weights: Literal["none", "balanced"] = "none"
    """`"balanced"` gives both classes the same weight in the loss, however rare one is."""
    ema_decay: float | None = 0.95  # higher values lag behind the last steps of short runs
    """Decay per step of the running average of the weights, which is validated and kept. 0, or None in
    Python, keeps the weights themselves."""
    gradient_clip: float | None = 5.0
    """Largest gradient norm. In Python, None does not clip."""
    # Off: the length must not depend on validation, which the shipped model's training lacks.
    patience: int | None = None
    """Stop early after so many epochs without a better validation loss; by default never."""
    gap: float = 0.01
    """Stop early only once the training loss is lower than the validation loss by more than this."""
    seed: int = 0
    """Seeds weights and segment order."""
    augmentation: AugmentationSettings = AugmentationSettings()
    """How training segments are augmented in every epoch; strength 0 turns a change off."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise ValueError(f"learning_rate must be positive, but got {self.learning_rate}.")
        for name, lowest in (("epochs", 1), ("batch_size", 2), ("segments_per_epoch", 2), ("patience", 1)):
            _check(self, name, lowest, LARGEST_COUNT)
        for name in ("weight_decay", "gap", "seed"):
            _check(self, name, 0, math.inf)
        _check(self, "label_smoothing", 0, 0.5)
        _check(self, "simulated", 0, 0.5)
        _check(self, "ema_decay", 0, 0.99999)
        if self.gradient_clip is not None and not 0 < self.gradient_clip < math.inf:
            raise ValueError(f"gradient_clip must be positive or None, but got {self.gradient_clip}.")
        _check_choice("schedule", self.schedule, ("one-cycle", "plateau", "constant"))
        _check_choice("class_weights", self.class_weights, ("none", "balanced"))
