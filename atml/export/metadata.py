"""The metadata of a model file."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from atml.ecg import AFIB_RHYTHM, SAMPLING_RATE_HZ
from atml.errors import ModelError

# The names become comments of C code, which is compiled and run.
_NAME = re.compile("[A-Za-z0-9_ .-]+")


@dataclass(frozen=True, kw_only=True)
class OnnxMetadata:
    """How to read a model's logits.

    The file always stores four decimals of the threshold, so its size does not depend on it. The names of
    study and trial are in the bundle's manifest; in the file they would count as bytes of the model.
    """

    sampling_rate_hz: int
    classes: tuple[str, ...]  # by index of the logits
    threshold: float  # lowest probability that counts as AFIB
    architecture: str

    def __post_init__(self) -> None:
        """Refuse values that cannot be read back from the file."""
        if not 0 <= self.threshold <= 1:
            raise ModelError(f"A threshold must lie within 0 and 1 but got {self.threshold}.")
        for field, names in (("architecture", [self.architecture]), ("classes", self.classes)):
            if not all(_NAME.fullmatch(name) for name in names):
                raise ModelError(f"{field}: names may have letters, digits, spaces and _ . -; got {names}.")
        if len(self.classes) != 2 or [name == AFIB_RHYTHM for name in self.classes] != [False, True]:
            raise ModelError(f"There must be two classes, the second {AFIB_RHYTHM}; got {self.classes}.")
        if self.sampling_rate_hz != SAMPLING_RATE_HZ:
            raise ModelError(f"The sampling rate must be {SAMPLING_RATE_HZ} Hz; got {self.sampling_rate_hz}.")

    def to_properties(self) -> dict[str, str]:
        """Return the strings that an ONNX file stores."""
        return {
            "sampling_rate_hz": str(self.sampling_rate_hz),
            "classes": ",".join(self.classes),
            "threshold": f"{self.threshold:.4f}",
            "architecture": self.architecture,
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
            )
        except KeyError as error:
            raise ModelError(f"{source} lacks the metadata {error.args[0]!r}; export it with ATML.") from None
        except (ValueError, ModelError) as error:
            raise ModelError(f"{source} has unreadable metadata: {error}") from error
