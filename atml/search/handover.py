"""From phase 1 to phase 2: which trial a width search starts from."""

from collections.abc import Sequence

from optuna.trial import FrozenTrial

from atml.models import ARCHITECTURES
from atml.search import records
from atml.search.phases import Phase


def has_widths(name: str) -> bool:
    """Whether the architecture of that name has widths that a phase 2 could search."""
    return name in ARCHITECTURES and ARCHITECTURES[name].has_widths


def base_trial(phase: Phase, trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """Return the trial on which a phase 2 is based: the best whose architecture has widths.

    They are ranked among themselves: one without widths, `linear`, may well win the phase 1.
    """
    scalable = [trial for trial in trials if has_widths(records.architecture(trial))]
    ranking = phase.rank(scalable)
    return ranking[0] if ranking else None
