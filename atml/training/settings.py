"""Training settings, with the defaults that a search uses."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

# Unknown fields, infinite values and values out of range are refused; these errors are ValueErrors.
_CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)
_Fraction = Annotated[float, Field(ge=0, le=1)]
_UpToHalf = Annotated[float, Field(ge=0, le=0.5)]
_NotNegative = Annotated[float, Field(ge=0)]
_Positive = Annotated[float, Field(gt=0)]
_Decay = Annotated[float, Field(ge=0, le=0.99999)]
# The upper limit keeps what is computed from a count from overflowing.
_Count = Annotated[int, Field(ge=1, le=10**9)]
_TwoOrMore = Annotated[int, Field(ge=2, le=10**9)]


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class AugmentationSettings:
    """How training segments are augmented in every epoch; strength 0 turns a change off.

    Amplitudes are relative to the standard deviation of the segment. Gain and polarity are not varied: no
    network depends on the gain, and of ATML's architectures only `afnet` and `linear` on the polarity.
    """

    probability: _Fraction = 0.8
    """Probability of each of the following changes but the last, for each segment and independently."""
    noise: _NotNegative = 0.6
    """White noise up to this standard deviation, in standard deviations of the segment."""
    baseline_wander: _NotNegative = 0.4
    """Slow waves, .5 to 2.5 per segment, with this root mean square, in standard deviations of the
    segment."""
    # Up to half: what goes past an end is mirrored, but only once.
    time_stretch: _UpToHalf = 0.3
    """Scale the heart rate by a factor between 1 - this and 1 + this."""
    shift: _UpToHalf = 0.1
    """Move by up to this fraction of a segment, either way."""
    flat_line: _Fraction = 0.02  # about five segments in a batch of 256
    """Probability that a segment is replaced by a flat line labelled Normal."""


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class TrainingSettings:
    """How every network is trained, in the search and when it is shipped."""

    learning_rate: _Positive = 0.02
    """AdamW's learning rate, the highest of the schedule."""
    epochs: _Count = 6
    """Number of epochs."""
    batch_size: _TwoOrMore = 256
    """Segments per step. Small networks are limited by the overhead of a step: they train twice as fast as
    with 64, and as well at two to four times the learning rate."""
    segments_per_epoch: _TwoOrMore | None = 8192
    """Segments in an epoch, chosen so that all are seen equally often. Shorter epochs let the pruner decide
    sooner. In Python, None takes each segment once."""
    simulated: _UpToHalf = 0.0
    """Share of each batch that consists of simulated segments, up to .5. Without effect if AFIB is not one of
    the rhythms to find."""
    weight_decay: _NotNegative = 0.01
    """AdamW's weight decay."""
    schedule: Literal["one-cycle", "plateau", "constant"] = "one-cycle"
    """One warm-up and one decay over all epochs (`"one-cycle"`), a rate that is halved when the loss stops
    improving (`"plateau"`), or a fixed rate (`"constant"`)."""
    label_smoothing: _UpToHalf = 0.0
    """Part of the label's probability that is spread evenly over both classes in the loss."""
    class_weights: Literal["none", "balanced"] = "none"
    """`"balanced"` gives both classes the same weight in the loss, however rare one is."""
    ema_decay: _Decay | None = 0.95  # higher values lag behind the last steps of short runs
    """Decay per step of the running average of the weights, which is validated and kept. 0, or None in
    Python, keeps the weights themselves."""
    gradient_clip: _Positive | None = 5.0
    """Largest gradient norm. In Python, None does not clip."""
    # Off: the length must not depend on validation, which the shipped model's training lacks.
    patience: _Count | None = None
    """Stop early after so many epochs without a better validation loss; by default never."""
    gap: _NotNegative = 0.01
    """Stop early only once the training loss is lower than the validation loss by more than this."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seeds weights and segment order."""
    augmentation: AugmentationSettings = AugmentationSettings()
    """How training segments are augmented in every epoch; strength 0 turns a change off."""
