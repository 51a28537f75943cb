"""`atml status`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from atml import defaults
from atml.cli import options
from atml.cli.console import print_json
from atml.errors import AtmlError, StudyError

if TYPE_CHECKING:
    from atml.service.stored import StoredStudy
    from atml.service.worker_states import WorkerState
    from atml.tuning.outcome import Outcome
    from atml.tuning.progress import Progress

    Shown = tuple[StoredStudy, Progress, Outcome]


def status(
    study: Annotated[str | None, typer.Argument(help="Name of a study; all studies by default.")] = None,
    storage: options.Storage = defaults.STORAGE,
    check_targets: options.CheckTargets = False,
    as_json: options.Json = False,
) -> None:
    """Show studies and workers: trials by state, best trial, front, running trials and remaining time.

    A worker that disappeared is shown as lost for ten minutes.

    Example:  atml status ecm-phase1 --json
    """
    from atml.cli.console import next_step
    from atml.cli.documents.studies import status_document
    from atml.cli.targets import exit_by_targets
    from atml.service.alive import Workers
    from atml.service.storage import open_storage
    from atml.service.studies import check_trials, load, load_all
    from atml.service.worker_states import worker_states
    from atml.tuning.progress import progress

    if check_targets and study is None:
        raise typer.BadParameter("--check-targets needs the name of a study")
    opened = open_storage(storage, must_exist=True)
    damaged: dict[str, AtmlError] = {}
    loaded = [load(opened, study)] if study is not None else load_all(opened, damaged.__setitem__)
    shown: list[Shown] = []
    for one in loaded:
        try:
            of, result = check_trials(one)
        except StudyError as error:
            if study is not None:
                raise
            damaged[one.study.study_name] = error
        else:
            # The spec is read after the trials, so that none with trials is shown as waiting.
            shown.append((one.latest(), progress(of), result))
    workers = worker_states(opened.retry(Workers(opened).all), [state for _, state, _ in shown])
    if study is not None:
        workers = [worker for worker in workers if worker.study == study]
    if as_json:
        print_json(status_document(shown, workers, damaged))
    else:
        if study is not None:
            _print_one(*shown[0])
        else:
            _print_all(shown, [*damaged.values()])
        _print_workers(workers)
        next_step(_what_next(study, shown), storage=storage)
    if check_targets:
        exit_by_targets(shown[0][2])


def _what_next(study: str | None, shown: "list[Shown]") -> str:
    last = shown[-1][1].snapshot if shown else None
    if last is None:
        return "atml run --demo"
    if study is None:
        return f"atml status {last.study}"
    return f"atml finalize {study} --test DIR" if last.stop else f"atml stop {study}"


def _print_one(stored: "StoredStudy", state: "Progress", result: "Outcome") -> None:
    from atml.cli.console import clock, out
    from atml.cli.display import so_far
    from atml.cli.study_tables import print_outcome

    print_outcome(result)
    if stored.waits_for is not None:
        typer.echo(f"  {_doing(stored, state)}")
    for trial in state.running:
        out().print(
            f"  running: trial {trial.number} {trial.architecture}, epoch {trial.epoch}/{trial.epochs}"
            f"{so_far(trial)}, on {trial.host} (pid {trial.pid})"
        )
    if state.running and state.seconds_left is not None:
        out().print(f"  about {clock(state.seconds_left)} left")


def _print_all(shown: "list[Shown]", damaged: list[AtmlError]) -> None:
    from atml.cli.console import out
    from atml.cli.tables import new_table

    names = ("study", "phase", "trained", "running", "untrained", "best F-beta", "size", "state")
    table = new_table("studies", *names)
    for stored, state, _ in shown:
        table.add_row(*_row(stored, state))
    if shown:
        out().print(table)
    elif not damaged:
        out().print("No study yet; start one with `atml run --demo` or `atml search SPEC`.")
    for problem in damaged:
        typer.echo(f"Not shown: {problem}", err=True)


def _row(stored: "StoredStudy", state: "Progress") -> list[str]:
    from atml.cli.display import trained_of_budget
    from atml.tuning import records
    from atml.words import kilobytes

    of, best = state.snapshot, state.best
    return [
        of.study,
        of.phase.phase,
        trained_of_budget(state),
        str(len(state.running)),
        str(state.spent.untrained),
        f"{records.fbeta(best):.4f}" if best else "–",
        kilobytes(records.onnx_bytes(best)) if best else "–",
        of.stop.because if of.stop else _doing(stored, state),
    ]


def _doing(stored: "StoredStudy", state: "Progress") -> str:
    if stored.waits_for is not None:
        return f"waits for {stored.waits_for}"
    return "running" if state.running else "open"


def _print_workers(workers: "list[WorkerState]") -> None:
    from atml.cli.console import out
    from atml.cli.tables import table_of

    columns: dict[str, Callable[[WorkerState], str]] = {
        "worker": lambda one: str(one.number),
        "host": lambda one: one.host,
        "pid": lambda one: str(one.pid),
        "device": lambda one: one.device,
        "study": lambda one: one.study or "waits for one",
        "trial": lambda one: "–" if one.trial is None else str(one.trial),
        "epoch": lambda one: "–" if one.trial is None else f"{one.epoch}/{one.epochs}",
        "last seen": lambda one: f"{one.last_seen_seconds:.0f} s ago{', lost' if one.lost else ''}",
    }
    if workers:
        out().print(table_of("workers", workers, columns))
