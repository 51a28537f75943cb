"""Exit codes by which scripts tell apart what came of a study's targets."""

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from atml.tuning.outcome import Outcome
    from atml.tuning.phases import Phase

MISSED, NOT_OVER = 3, 4


def refuse_without_targets(phase: "Phase", source: str) -> None:
    """Raise SpecError if there are no targets to check."""
    from atml.errors import SpecError

    if phase.targets.fbeta is None and phase.targets.onnx_bytes is None:
        raise SpecError(
            f"--check-targets: {source} has no targets; set targets.fbeta or targets.onnx_bytes in its spec"
        )


def exit_by_targets(outcome: "Outcome", *, is_robust: bool = True) -> None:
    """Exit with `MISSED` or `NOT_OVER` unless the targets are met.

    Raises:
        SpecError: the study has no targets.
    """
    from atml.tuning.stop import StoppedBy

    refuse_without_targets(outcome.phase, f"study {outcome.study!r}")
    if outcome.targets_met and is_robust:
        return
    is_over = outcome.stop is not None and outcome.stop.by is not StoppedBy.USER
    raise typer.Exit(MISSED if is_over else NOT_OVER)
