"""What a model file says about itself."""

from collections.abc import Mapping
from dataclasses import dataclass

from atml.errors import ModelError

STUDY_CHARACTERS = 64  # the longest name that a spec may give


@dataclass(frozen=True, kw_only=True)
class OnnxMetadata:
    """Where a model comes from and how to read its logits.

    The file keeps four decimals of the threshold, six digits of the trial, and as many spaces as the
    study's name is shorter than the longest, so that its size depends on none of them.
    """

    sampling_rate_hz: int
    classes: tuple[str, ...]  # by index of the logits
    threshold: float  # a segment is AFIB if its probability is at least this
    architecture: str
    study: str
    trial: int

    def __post_init__(self) -> None:
        """Refuse what the file could not give back."""
        if not 0 <= self.threshold <= 1:
            raise ModelError(f"A threshold must lie within 0 and 1 but got {self.threshold}.")
        if self.trial < 0:
            raise ModelError(f"A trial's number must not be negative but got {self.trial}.")
        if len(self.study) > STUDY_CHARACTERS or not self.study.isascii():
            raise ModelError(
                f"A study's name must be at most {STUDY_CHARACTERS} ASCII characters but got {self.study!r}."
            )
        if any("," in name or not name for name in self.classes):
            raise ModelError(f"Class names must be non-empty, without commas; got {self.classes}.")

    def to_properties(self) -> dict[str, str]:
        """Return the texts that an ONNX file stores."""
        return {
            "sampling_rate_hz": str(self.sampling_rate_hz),
            "classes": ",".join(self.classes),
            "threshold": f"{self.threshold:.4f}",
            "architecture": self.architecture,
            "study": self.study,
            "pad": " " * (STUDY_CHARACTERS - len(self.study)),
            "trial": f"{self.trial:06d}",
        }

    @classmethod
    def from_properties(cls, properties: Mapping[str, str], *, source: str) -> "OnnxMetadata":
        """Read what `to_properties` wrote; `source` names the file in errors."""
        try:
            return cls(
                sampling_rate_hz=int(properties["sampling_rate_hz"]),
                classes=tuple(properties["classes"].split(",")),
                threshold=float(properties["threshold"]),
                architecture=properties["architecture"],
                study=properties["study"],
                trial=int(properties["trial"]),
            )
        except KeyError as error:
            raise ModelError(f"{source} lacks the metadata {error.args[0]!r}; export it with ATML.") from None
        except (ValueError, ModelError) as error:
            raise ModelError(f"{source} has unreadable metadata: {error}") from error
