"""`atml evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atml.cli import options

if TYPE_CHECKING:
    from atml.ecg import Dataset


def evaluate(
    model: Annotated[Path, typer.Argument(help="A bundle's folder or an ONNX file.")],
    data: Annotated[Path, typer.Option("--data", metavar="DIR", help="Segments to evaluate on.")],
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            callback=options.a_number,
            help="Call AFIB from here on; the model's own if not given.",
        ),
    ] = None,
    beta: Annotated[
        float, typer.Option(min=0.01, max=100, callback=options.a_number, help="Beta of F-beta.")
    ] = 2.0,
    storage: options.Storage = options.DEFAULT_STORAGE,
    skip_bad: options.SkipBad = False,
    as_json: options.Json = False,
) -> None:
    """Measure a model on segments: pooled, per subject and per rhythm.

    Each look that a bundle takes at other segments than it was trained on is counted on its study, if
    --storage has it.

    Example:  atml evaluate results/ecm-phase2/97-93 --data data/iesd/test
    """
    from atml.cli.console import err, load_with_progress
    from atml.cli.tables import print_metrics
    from atml.export import OnnxClassifier
    from atml.reports.assessment import assess
    from atml.reports.bundle import to_json

    path = model / "model.onnx" if model.is_dir() else model
    classifier = OnnxClassifier(path)
    dataset = load_with_progress(data, skip_bad=skip_bad)
    metrics = assess(classifier, dataset, threshold=threshold, beta=beta)
    counted = _count(model, path, dataset, metrics.fbeta, storage)
    if counted:
        err().print(counted)
    if as_json:
        typer.echo(to_json(metrics.to_dict()), nl=False)
    else:
        print_metrics(metrics, title=f"{path} on {data}")


def _count(bundle: Path, model: Path, dataset: "Dataset", fbeta: float, storage: str) -> str:
    """Count the look on the bundle's study, and say how often its models have been tested."""
    from atml.errors import StorageError, StudyError
    from atml.reports.looks import count_look, study_of
    from atml.service.storage import open_storage
    from atml.service.storage.sqlite import is_missing
    from atml.service.studies import load

    name = study_of(bundle) if bundle.is_dir() else None
    if name is None:
        return ""
    if is_missing(storage):
        return f"not counted as a look: there is no {storage}; --storage says where study {name!r} is"
    try:
        stored = load(open_storage(storage), name)
    except (StorageError, StudyError) as error:
        return f"not counted as a look: {error}"
    times = count_look(stored, model.read_bytes(), dataset, fbeta)
    return f"models of study {name!r} have met other segments {times} time(s)"
