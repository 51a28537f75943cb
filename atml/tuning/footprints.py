"""What candidates need on a device, and leaving out those that need more than the targets allow."""

from collections.abc import Sequence
from dataclasses import fields, replace

from atml.errors import ModelError, SpecError
from atml.export.c import Footprint
from atml.tuning.candidates import Candidate
from atml.tuning.sizes import footprint_before_training
from atml.tuning.spec import TargetsSpec


def with_footprint(candidate: Candidate, targets: TargetsSpec, segment_length: int) -> Candidate:
    """Return the candidate with what its C code needs; flash and instructions only if the targets name them.

    Raises:
        ModelError: a limit is set, and a tool to measure with is missing or no C code can be generated.
    """
    limits = _limits(targets)
    flash = targets.size_of == "flash" or "flash_bytes" in limits
    try:
        known = footprint_before_training(
            candidate.proposal(1.0), segment_length, flash=flash, instructions="instructions" in limits
        )
    except ModelError as error:
        if flash or limits:
            raise ModelError(f"{candidate.architecture}: {error}") from None
        known = Footprint()  # an architecture of a plug-in may have operators that are not supported
    return replace(candidate, footprint=known)


def within_limits(candidates: Sequence[Candidate], targets: TargetsSpec) -> tuple[Candidate, ...]:
    """Return the candidates that keep to every limit of the targets.

    Raises:
        SpecError: none does; names the smallest figures.
    """
    limits = _limits(targets)
    kept = list(candidates)
    for name, limit in limits.items():
        kept = [one for one in kept if getattr(one.footprint, name) <= limit]
    if candidates and not kept:
        least = {name: min(getattr(one.footprint, name) for one in candidates) for name in limits}
        needs = [f"targets.max_{n} = {limit}, at least {least[n]} needed" for n, limit in limits.items()]
        raise SpecError(f"no network of the search keeps to the limits: {'; '.join(needs)}")
    return tuple(kept)


def _limits(targets: TargetsSpec) -> dict[str, int]:
    limits = {f.name: getattr(targets, f"max_{f.name}", None) for f in fields(Footprint)}
    return {name: limit for name, limit in limits.items() if limit is not None}
