"""`atml run`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atml import defaults
from atml.cli import options
from atml.cli.console import print_json

if TYPE_CHECKING:
    from atml.cli.display import Terminal

SIMULATED = Path("data/simulated")
TRAIN_SUBJECTS, TEST_SUBJECTS = 24, 8


def run(
    train: options.Train = None,
    test: options.Test = None,
    demo: Annotated[
        bool,
        typer.Option(
            "--demo", help=f"Try ATML on simulated segments, made in {SIMULATED}, with `demo/joint` as spec."
        ),
    ] = False,
    workers: options.Workers = defaults.default_workers(),
    spec: Annotated[
        Path | None,
        typer.Option(metavar="SPEC", help="Spec of the joint search; by default `atml specs show joint`."),
    ] = None,
    phase1: Annotated[
        Path | None,
        typer.Option(metavar="SPEC", help="Search in two phases: spec of the architecture search."),
    ] = None,
    phase2: Annotated[
        Path | None, typer.Option(metavar="SPEC", help="Search in two phases: spec of the width search.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Prefix of the studies' names; the training folder's name by default."),
    ] = None,
    sizes: options.SearchedSizes = None,
    storage: options.Storage = defaults.STORAGE,
    artifacts: options.Artifacts = defaults.ARTIFACTS,
    out: options.Out = defaults.OUT,
    device: options.Device = "auto",
    skip_bad: options.SkipBad = False,
    extend: options.Extend = False,
    check_targets: options.CheckTargets = False,
    as_json: options.Json = False,
) -> None:
    """Search for small, accurate models and write their bundles, unattended.

    Architectures, sizes and learning rates are searched jointly, or in two phases with --phase1 and --phase2
    (see `atml specs list`). Run the same command again after an interruption: finished trials are kept.
    Subjects of --test never take part in a search. --check-targets judges the recommended model by its mean
    over all folds. --demo tries it in about two minutes.

    Example:  atml run --train data/iesd/train --test data/iesd/test --workers 2
    """
    from atml import api
    from atml.cli.console import next_step
    from atml.cli.display import Terminal
    from atml.cli.documents.models import RunDocument, final_document
    from atml.cli.documents.studies import outcome_document
    from atml.cli.model_tables import print_final
    from atml.cli.study_tables import print_outcome
    from atml.cli.targets import exit_by_targets, refuse_without_targets
    from atml.defaults import default_spec
    from atml.errors import SpecError
    from atml.tuning.phases import load_spec

    if spec and (phase1 or phase2):
        raise SpecError(
            "--spec searches jointly, --phase1 and --phase2 search in two phases; give one or the other"
        )
    specs: tuple[Path, ...] = (spec,) if spec else ()
    if phase1 or phase2:
        specs = (phase1 or default_spec("phase1.toml"), phase2 or default_spec("phase2.toml"))
    watch = Terminal()
    if demo:
        if train or test:
            raise SpecError("--demo uses simulated segments; leave --train and --test out, or --demo")
        specs, name = specs or (default_spec("demo/joint.toml"),), name or "demo"
        train, test = _simulated(watch)
    if train is None:
        raise SpecError(
            "no training segments: give --train DIR, or --demo to try ATML on simulated segments first"
        )
    if check_targets:
        last = specs[-1] if specs else default_spec("joint.toml")
        refuse_without_targets(load_spec(last), str(last), ships=True)
    result = api.run(
        train,
        test,
        specs=specs,
        name=name,
        sizes=options.in_bytes(sizes),
        storage=storage,
        artifacts=artifacts,
        out=out,
        workers=workers,
        device=device,
        skip_bad=skip_bad,
        extend=extend,
        watch=watch,
    )
    if as_json:
        searches = [outcome_document(one) for one in result.searches]
        print_json(RunDocument(studies=searches, final=final_document(result.final)))
    else:
        for one in result.searches:
            print_outcome(one)
        print_final(result.final)
        next_step(f"atml report {result.searches[-1].study} --open", storage=storage)
    if check_targets:
        exit_by_targets(result.searches[-1], result.final)


def _simulated(watch: "Terminal") -> tuple[Path, Path]:
    """Simulate training and test segments unless they exist."""
    from atml.ecg import simulate

    folders = (SIMULATED / "train", SIMULATED / "test")
    subjects = (TRAIN_SUBJECTS, TEST_SUBJECTS)
    watch.say(
        f"Demo: about two minutes on SIMULATED segments in {SIMULATED}, made first if they are missing. "
        "Its figures say nothing about patients."
    )
    for seed, (folder, count) in enumerate(zip(folders, subjects, strict=True)):
        if not folder.exists():
            with watch.progress(f"Simulating {folder}", "segments") as update:
                simulate(
                    folder, subjects=count, seed=seed, first_subject=seed * TRAIN_SUBJECTS, progress=update
                )
    return folders
