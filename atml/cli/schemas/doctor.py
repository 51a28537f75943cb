"""What `atml doctor` finds."""

from typing import Literal

from atml.cli.schemas.document import Document


class FindingDocument(Document):
    """One thing that ATML uses."""

    part: Literal["versions", "devices", "storage", "disk", "optional packages", "C code"]
    """What it belongs to."""
    name: str
    """Name of the package, device, place or program."""
    ok: bool
    """Whether it is there and can be used."""
    found: str
    """Its version, size or place, or what is wrong."""
    needed_for: str
    """What uses it."""
    advice: str | None
    """What to do if it is not ok."""
    required: bool
    """Whether ATML cannot search without it."""


class DoctorDocument(Document):
    """What this machine has of what ATML uses."""

    ready: bool
    """Whether everything is there that a search needs."""
    findings: list[FindingDocument]
    """Everything that was looked for."""
