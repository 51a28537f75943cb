"""`atml predict`."""

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atml.cli import options

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def predict(
    model: Annotated[Path, typer.Argument(help="A bundle's folder or an ONNX file.")],
    files: Annotated[list[Path], typer.Argument(help="Segment files with one number per line.")],
    as_json: options.Json = False,
) -> None:
    """Print the probability of atrial fibrillation for each segment, as CSV or JSON.

    Files may have any name; the number of samples must match the model.

    Example:  atml predict results/ecm/8KB-dscnn-trial64 S1-N-7.txt S1-AFIB-12.txt
    """
    import numpy as np

    from atml.export import OnnxClassifier
    from atml.reports.bundle import load_bundle

    classifier = load_bundle(model).classifier if model.is_dir() else OnnxClassifier(model)
    samples = np.stack([_read(path, classifier.segment_length) for path in files])
    probabilities = classifier.probabilities(samples)
    rows = [
        {
            "file": str(path),
            "probability": round(float(probability), 6),
            "class": classifier.metadata.classes[int(probability >= classifier.metadata.threshold)],
        }
        for path, probability in zip(files, probabilities, strict=True)
    ]
    typer.echo(json.dumps(rows, indent=2) if as_json else _as_csv(rows))


def _read(path: Path, length: int) -> "NDArray[np.float32]":
    from atml.ecg.sources.iesd import Problem, read_segment
    from atml.errors import BadSegment

    found = read_segment(path)
    if isinstance(found, Problem):
        raise BadSegment(f"{path.parent}/{found}")
    if len(found) != length:
        advice = "cut it to that length" if len(found) > length else "give a longer segment"
        raise BadSegment(f"{path}: has {len(found)} samples but the model takes {length}; {advice}")
    return found


def _as_csv(rows: list[dict[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().rstrip("\n")
