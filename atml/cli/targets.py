"""Exit codes by which scripts tell apart what came of a study's targets."""

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from atml.reports.finalize import Final
    from atml.tuning.outcome import Outcome
    from atml.tuning.phases import Phase

MISSED, NOT_OVER = 3, 4


def refuse_without_targets(phase: "Phase", source: str, *, ships: bool = False) -> None:
    """Raise SpecError if there are no targets to check; that of robustness needs a model that is shipped."""
    from atml.errors import SpecError

    if not (_has_targets(phase) or (ships and phase.targets.robust_fbeta is not None)):
        raise SpecError(
            f"--check-targets: {source} has no targets; set targets.fbeta or targets.onnx_bytes in its spec"
        )


def _has_targets(phase: "Phase") -> bool:
    return phase.targets.fbeta is not None or phase.targets.onnx_bytes is not None


def exit_by_targets(outcome: "Outcome", final: "Final | None" = None) -> None:
    """Exit with `MISSED` or `NOT_OVER` unless the targets are met.

    Args:
        outcome: What came of the study.
        final: What was shipped. The targets are those of the recommended model then, since the figures of
            the search, which selected it, are biased upwards.

    Raises:
        SpecError: the study has no targets.
    """
    from atml.tuning.stop import StoppedBy

    refuse_without_targets(outcome.phase, f"study {outcome.study!r}", ships=final is not None)
    met = outcome.targets_met if final is None else not final.failed_targets
    if met:
        return
    is_over = outcome.stop is not None and outcome.stop.by is not StoppedBy.USER
    raise typer.Exit(MISSED if is_over else NOT_OVER)
