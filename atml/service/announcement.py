"""What a long command says before it does anything: with which data, where it writes, how long."""

from collections.abc import Sequence
from pathlib import Path

import sqlalchemy
from sqlalchemy.exc import ArgumentError

from atml.service.launcher import WorkerPlan
from atml.service.storage.database import holds_bare_at, shown
from atml.tuning.phases import Phase
from atml.tuning.spec import BudgetSpec
from atml.words import counted


def announcement(phases: Sequence[Phase], plan: WorkerPlan, *, out: str | Path | None = None) -> str:
    """Return two lines about a search, and about shipping its models if `out` names a folder for them."""
    name, spend = phases[-1].name, " and then ".join(limits(phase.budget) for phase in phases)
    shipping = ", then training the best again, about half as long" if out is not None else ""
    bundles = f", bundles {Path(out) / name}" if out is not None else ""
    return (
        f"{name}: searching {phases[0].data.train} for at most {spend}{shipping}\n"
        f"Writes studies to {_shown(plan.storage)}, files to {plan.artifacts}{bundles}; "
        "after Ctrl-C the same command continues"
    )


def limits(budget: BudgetSpec) -> str:
    """Return a budget in words."""
    found = [counted(budget.trials, "trial")] if budget.trials else []
    found += [f"{budget.minutes:g} min"] if budget.minutes else []
    return " or ".join(found) or "as long as there are points to try"


def _shown(storage: str) -> str:
    unshown = "the storage"  # whose URL is about to be refused, and may hold a password
    try:
        url = sqlalchemy.make_url(storage)
    except (ArgumentError, ValueError):
        return unshown
    return unshown if holds_bare_at(storage, url) else shown(url)
