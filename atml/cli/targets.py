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

    targets = phase.targets
    wanted = [targets.fbeta, targets.onnx_bytes, *([targets.robust_fbeta] if ships else [])]
    if all(one is None for one in wanted):
        raise SpecError(
            f"--check-targets: {source} has no targets; set targets.fbeta or targets.onnx_bytes in its spec"
        )


def exit_by_targets(outcome: "Outcome", final: "Final | None" = None) -> None:
    """Exit with `MISSED` or `NOT_OVER` unless the targets are met.

    If models were shipped, the recommended one is judged by `final`, since the figures of the search, which
    selected it, are biased upwards.

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
