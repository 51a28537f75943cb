"""`atml status`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from atml.cli import options

if TYPE_CHECKING:
    from atml.service.progress import Progress
    from atml.service.studies import StoredStudy


def status(
    study: Annotated[str | None, typer.Argument(help="Name of a study; all studies if not given.")] = None,
    storage: options.Storage = options.DEFAULT_STORAGE,
    as_json: options.Json = False,
) -> None:
    """Show studies: trials by state, the best, the front, who works on what, the time left.

    Example:  atml status ecm-phase1 --json
    """
    from atml.reports.bundle import to_json
    from atml.service.storage import open_storage
    from atml.service.studies import load, load_all

    opened = open_storage(storage)
    loaded = [load(opened, study)] if study is not None else load_all(opened)
    if as_json:
        typer.echo(to_json([_document(one) for one in loaded]), nl=False)
    elif study is not None:
        _print_one(loaded[0])
    else:
        _print_all(loaded)


def _document(stored: "StoredStudy") -> dict[str, Any]:
    from dataclasses import asdict
    from datetime import datetime

    from atml.cli.documents import outcome_document
    from atml.search.outcome import outcome
    from atml.service.progress import progress

    now = datetime.now()
    state = progress(stored, now)
    return {
        **outcome_document(outcome(stored.study, stored.phase, now)),
        "data": asdict(stored.data),
        "budget": {"trials": state.trials_budget, "minutes": state.minutes_budget},
        "running": [asdict(trial) for trial in state.running],
        "seconds_left": state.seconds_left,
    }


def _print_one(stored: "StoredStudy") -> None:
    from datetime import datetime

    from atml.cli.console import clock, out
    from atml.cli.tables import print_outcome
    from atml.search.outcome import outcome
    from atml.service.progress import progress

    now = datetime.now()
    state = progress(stored, now)
    print_outcome(outcome(stored.study, stored.phase, now), stored.phase)
    for trial in state.running:
        out().print(
            f"  running: trial {trial.number} {trial.architecture}, epoch {trial.epoch}/{trial.epochs}, "
            f"F-beta {trial.fbeta:.4f}, on {trial.host} (pid {trial.pid})"
        )
    if state.running and state.seconds_left is not None:
        out().print(f"  at most {clock(state.seconds_left)} left")


def _print_all(loaded: "list[StoredStudy]") -> None:
    from datetime import datetime

    from rich.table import Table

    from atml.cli.console import out
    from atml.service.progress import progress

    table = Table()
    for name in ("study", "phase", "trained", "running", "untrained", "best F-beta", "ONNX", "state"):
        table.add_column(name, justify="left" if name in ("study", "phase", "state") else "right")
    for stored in loaded:
        table.add_row(*_row(stored, progress(stored, datetime.now())))
    out().print(table if loaded else "No study yet; start one with `atml run` or `atml search SPEC`.")


def _row(stored: "StoredStudy", state: "Progress") -> list[str]:
    from atml.cli.console import kilobytes
    from atml.search import records, stop

    sign = stop.read(stored.study)
    best = state.best
    budget = f"/{state.trials_budget}" if state.trials_budget else ""
    return [
        state.study,
        stored.phase.phase,
        f"{state.spent.trained}{budget}",
        str(len(state.running)),
        str(state.spent.untrained),
        f"{records.fbeta(best):.4f}" if best else "–",
        kilobytes(records.onnx_bytes(best)) if best else "–",
        sign.because if sign else _doing(stored, state),
    ]


def _doing(stored: "StoredStudy", state: "Progress") -> str:
    if stored.waits_for is not None:
        return f"waits for {stored.waits_for}"
    return "running" if state.running else "open"
