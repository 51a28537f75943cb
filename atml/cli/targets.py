"""Exit codes by which scripts tell apart what came of a study's targets."""

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from atml.tuning.outcome import Outcome

MISSED, NOT_OVER = 3, 4


def exit_by_targets(outcome: "Outcome", *, is_robust: bool = True) -> None:
    """Exit with `MISSED` or `NOT_OVER` unless the targets are met.

    Raises:
        SpecError: the study has no targets.
    """
    from atml.errors import SpecError
    from atml.tuning.stop import StoppedBy

    targets = outcome.phase.targets
    if targets.fbeta is None and targets.onnx_bytes is None:
        raise SpecError(f"--check-targets: study {outcome.study!r} has no targets; set some in its spec")
    if outcome.targets_met and is_robust:
        return
    is_over = outcome.stop is not None and outcome.stop.by is not StoppedBy.USER
    raise typer.Exit(MISSED if is_over else NOT_OVER)
