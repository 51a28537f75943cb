"""`atml run`."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atml.cli import options

if TYPE_CHECKING:
    from atml.search.phases import Phase

SIMULATED = Path("data/simulated")
TRAIN_SUBJECTS, TEST_SUBJECTS = 24, 8


def run(
    train: options.Train = None,
    test: options.Test = None,
    workers: options.Workers = options.default_workers(),
    spec: Annotated[
        Path | None,
        typer.Option(metavar="SPEC", help="Spec of the joint search; studies/joint.toml if not given."),
    ] = None,
    phase1: Annotated[
        Path | None,
        typer.Option(metavar="SPEC", help="Search in two phases: spec of the architecture search."),
    ] = None,
    phase2: Annotated[
        Path | None, typer.Option(metavar="SPEC", help="The same: spec of the width search.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Begins the names of the studies; the training folder's name if not given."),
    ] = None,
    storage: options.Storage = options.DEFAULT_STORAGE,
    artifacts: options.Artifacts = options.DEFAULT_ARTIFACTS,
    out: options.Out = options.DEFAULT_OUT,
    device: options.Device = "auto",
    skip_bad: options.SkipBad = False,
    extend: options.Extend = False,
    as_json: options.Json = False,
) -> None:
    """Go from segments to a small, accurate model, unattended: search, bundle.

    Architectures, sizes and learning rates are searched jointly, or in two phases with --phase1 and --phase2
    (studies/phase1.toml, studies/phase2.toml). Run the same command again after an interruption: finished
    trials are kept. Without --train, simulated segments are made and used. Subjects of --test never
    take part in a search.

    Example:  atml run --train data/iesd/train --test data/iesd/test --workers 2
    """
    from atml.cli.console import err, load_with_progress
    from atml.cli.documents import final_document, outcome_document
    from atml.cli.finalize import finalize_study
    from atml.cli.session import load_phase_data, open_study, run_study, with_training_data
    from atml.cli.tables import print_final, print_outcome
    from atml.reports.bundle import to_json
    from atml.service.storage import open_storage
    from atml.service.worker import quieten_optuna

    quieten_optuna()
    specs = _specs(spec, phase1, phase2)
    if train is None:
        train, test = _simulated(test)
    shared = _shared_subjects(train, test)
    if shared:
        err().print(f"Left out of training, since they are in {test}: {', '.join(shared)}")
    if test is not None:  # a broken file must not show after the whole search; nothing is scored yet
        load_with_progress(test, skip_bad=skip_bad)
    opened = open_storage(storage)
    outcomes = []
    for phase in _named(specs, name or train.resolve().name):
        ready = with_training_data(phase, train, skip_bad=skip_bad, exclude=shared)
        stored = open_study(opened, ready, load_phase_data(ready), extend=extend)
        result = run_study(stored, storage=storage, artifacts=artifacts, workers=workers, device=device)
        outcomes.append(result)
        if not as_json:
            print_outcome(result, stored.phase)
    final = finalize_study(
        stored, test=test, out=out, artifacts=artifacts, workers=workers, device=device, skip_bad=skip_bad
    )
    if as_json:
        document = {"studies": [outcome_document(one) for one in outcomes], "final": final_document(final)}
        typer.echo(to_json(document), nl=False)
    else:
        print_final(final)


def _simulated(test: Path | None) -> tuple[Path, Path]:
    """Make simulated training and test segments, unless they are there already."""
    from atml.cli.console import bar, err
    from atml.ecg import simulate
    from atml.errors import SpecError

    if test is not None:
        raise SpecError("--test needs --train: a model trained on simulated segments is for trying ATML out")
    err().print(
        f"No --train: using SIMULATED segments in {SIMULATED}. Their figures say nothing about patients."
    )
    folders = (SIMULATED / "train", SIMULATED / "test")
    subjects = (TRAIN_SUBJECTS, TEST_SUBJECTS)
    for seed, (folder, count) in enumerate(zip(folders, subjects, strict=True)):
        if not folder.exists():
            with bar(f"Simulating {folder}", "segments") as update:
                simulate(
                    folder, subjects=count, seed=seed, first_subject=seed * TRAIN_SUBJECTS, progress=update
                )
    return folders


def _shared_subjects(train: Path, test: Path | None) -> tuple[str, ...]:
    """Return the subjects in both directories, from file names alone: no test segment is opened."""
    from atml.service.data import subjects_in

    if test is None:
        return ()
    held_out = set(subjects_in(test))
    return tuple(subject for subject in subjects_in(train) if subject in held_out)


def _specs(joint: Path | None, first: Path | None, second: Path | None) -> "list[Phase]":
    """Load the spec of the joint search, or those of both phases if one is given.

    Raises:
        SpecError: a spec is of another phase, or both ways are asked for.
    """
    from atml.errors import SpecError
    from atml.search.defaults import default_spec
    from atml.search.phases import load_spec

    if joint and (first or second):
        raise SpecError(
            "--spec searches jointly, --phase1 and --phase2 search in two phases; give one or the other"
        )
    if first or second:
        asked = {"phase1.toml": first, "phase2.toml": second}
        phases = ["architecture", "width"]
    else:
        asked = {"joint.toml": joint}
        phases = ["joint"]
    specs = [load_spec(path or default_spec(name)) for name, path in asked.items()]
    for spec, expected in zip(specs, phases, strict=True):
        if spec.phase != expected:
            raise SpecError(f'{spec.name}: expected a spec with phase = "{expected}" but got "{spec.phase}"')
    return specs


def _named(specs: "list[Phase]", name: str) -> "list[Phase]":
    """Name the studies after the run, and base a second on the first."""
    from atml.search.phases import WidthPhase

    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:48] or "run"
    if len(specs) == 1:
        return [specs[0].model_copy(update={"name": stem})]
    first, second = specs
    assert isinstance(second, WidthPhase)  # noqa: S101
    first = first.model_copy(update={"name": f"{stem}-phase1"})
    base = second.base.model_copy(update={"study": first.name, "architectures": None})
    return [first, second.on(base).model_copy(update={"name": f"{stem}-phase2"})]
