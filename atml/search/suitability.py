"""What cannot be searched, for want of widths or of longer segments, is refused or left out at creation."""

from atml.errors import SpecError
from atml.models import get_architecture
from atml.search.handover import has_widths
from atml.search.phases import ArchitecturePhase, Phase, WidthPhase


def suited(phase: Phase, segment_length: int) -> Phase:
    """Return the phase without the architectures that need longer segments.

    Raises:
        SpecError: none is left, or the one that a phase 2 is based on is such or has no widths; names the
            field.
    """
    if isinstance(phase, WidthPhase):
        _check_base(phase, segment_length)
    if not isinstance(phase, ArchitecturePhase):
        return phase
    needy = left_out(phase, segment_length)
    fitting = tuple(name for name in phase.search.architectures if name not in needy)
    if not fitting:
        shortest = min(_minimum_length(name) for name in needy)
        raise SpecError(
            f"study {phase.name}: field `search.architectures`: each needs segments of at least {shortest} "
            f"samples, but those of {phase.data.train} have {segment_length}; choose other architectures or "
            "longer segments"
        )
    return phase.model_copy(
        update={"search": phase.search.model_copy(update={"architectures": fitting})} if needy else {}
    )


def left_out(phase: Phase, segment_length: int) -> tuple[str, ...]:
    """Return the architectures of a phase 1 that need longer segments."""
    if not isinstance(phase, ArchitecturePhase):
        return ()
    return tuple(name for name in phase.search.architectures if _minimum_length(name) > segment_length)


def _check_base(phase: WidthPhase, segment_length: int) -> None:
    name = phase.base.architecture
    if name is not None and not has_widths(name):
        raise SpecError(
            f"study {phase.name}: field `base.architecture`: {name} has no widths to search; choose another"
        )
    if name is not None and _minimum_length(name) > segment_length:
        raise SpecError(
            f"study {phase.name}: field `base.architecture`: {name} needs segments of at least "
            f"{_minimum_length(name)} samples, but those of {phase.data.train} have {segment_length}; choose "
            "another architecture or longer segments"
        )


def _minimum_length(name: str) -> int:
    return get_architecture(name).minimum_length
