"""`atml search`."""

from pathlib import Path
from typing import Annotated

import typer

from atml.cli import options


def search(
    spec: Annotated[Path, typer.Argument(help="Study spec, a TOML file; `studies/` holds examples.")],
    train: options.Train = None,
    workers: options.Workers = options.default_workers(),
    storage: options.Storage = options.DEFAULT_STORAGE,
    artifacts: options.Artifacts = options.DEFAULT_ARTIFACTS,
    device: options.Device = "auto",
    skip_bad: options.SkipBad = False,
    extend: options.Extend = False,
    as_json: options.Json = False,
) -> None:
    """Create the study a spec describes, or resume it, and work until it is done.

    Example:  atml search studies/phase1.toml --train data/iesd/train --workers 2
    """
    from atml.cli.console import out
    from atml.cli.documents import outcome_document
    from atml.cli.session import load_phase_data, open_study, run_study, with_training_data
    from atml.cli.tables import print_outcome
    from atml.reports.bundle import to_json
    from atml.search.phases import load_spec
    from atml.service.storage import open_storage
    from atml.service.worker import quieten_optuna

    quieten_optuna()
    phase = with_training_data(load_spec(spec), train, skip_bad=skip_bad)
    opened = open_storage(storage)
    dataset = load_phase_data(phase)
    stored = open_study(opened, phase, dataset, extend=extend)
    result = run_study(stored, storage=storage, artifacts=artifacts, workers=workers, device=device)
    if as_json:
        out().print_json(to_json(outcome_document(result)))
    else:
        print_outcome(result, stored.phase)
