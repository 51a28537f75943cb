"""`atml search`."""

from atml import defaults
from atml.cli import options
from atml.cli.console import print_json


def search(
    spec: options.Spec,
    train: options.Train = None,
    workers: options.Workers = defaults.default_workers(),
    storage: options.Storage = defaults.STORAGE,
    artifacts: options.Artifacts = defaults.ARTIFACTS,
    device: options.Device = "auto",
    skip_bad: options.SkipBad = False,
    extend: options.Extend = False,
    check_targets: options.CheckTargets = False,
    as_json: options.Json = False,
) -> None:
    """Create the study that a spec describes, or resume it, and run workers until it is done.

    Example:  atml search studies/phase1.toml --train data/iesd/train --workers 2
    """
    from atml import api
    from atml.cli.console import next_step
    from atml.cli.display import Terminal
    from atml.cli.documents.studies import outcome_document
    from atml.cli.study_tables import print_outcome
    from atml.cli.targets import exit_by_targets, refuse_without_targets
    from atml.tuning.phases import load_spec

    if check_targets:
        refuse_without_targets(load_spec(spec), str(spec))
    result = api.search(
        spec,
        train=train,
        storage=storage,
        artifacts=artifacts,
        workers=workers,
        device=device,
        skip_bad=skip_bad,
        extend=extend,
        watch=Terminal(),
    )
    if as_json:
        print_json(outcome_document(result))
    else:
        print_outcome(result)
        next_step(f"atml finalize {result.study} --test DIR", storage=storage)
    if check_targets:
        exit_by_targets(result)
