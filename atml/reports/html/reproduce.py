"""How to make what a report shows again, and what it lacks."""

from atml.reports.html import words
from atml.reports.html.contents import Contents
from atml.version import __version__


def commands(shown: Contents) -> str:
    """Return the commands, one a line."""
    name = shown.study.result.study if shown.study else shown.model.study if shown.model else ""
    tested = bool(shown.study and shown.study.looks) or bool(shown.model and shown.model.test)
    lines = [
        f"# install ATML {shown.model.version if shown.model else __version__} from its checkout or wheel",
        "atml search study.toml --train TRAIN",
        f"atml finalize {name}{' --test TEST' if tested else ''}",
        f"atml report {name}",
    ]
    return "\n".join(lines)


def facts(shown: Contents) -> list[tuple[str, str]]:
    """Return what identifies the data and the software."""
    study, model = shown.study, shown.model
    found = []
    if study:
        data = study.data
        held = f"{data['segments']:,} of {data['subjects']} subjects, {data['segment_length']} samples each"
        place = f"in {data['directory']}; fingerprint {data['fingerprint']}"
        found.append(("Training segments", f"{held}, {place}"))
    elif model:
        data = model.training_data
        found.append(("Training segments", f"{data['segments']:,}; fingerprint {data['fingerprint']}"))
    if model and model.test_data:
        data = model.test_data
        found.append(("Test segments", f"{data['segments']:,}; fingerprint {data['fingerprint']}"))
    if model:
        found.append(("Model made", f"{model.created} by ATML {model.version}"))
    return [*found, ("Versions of this report", words.items_text(shown.versions))]


def missing(shown: Contents) -> str:
    """Return in a sentence what is left out, and why; nothing if all is there."""
    if shown.model is None:
        return (
            "No shipped model of this study was found, so subjects, rhythms, ROC, calibration and robustness "
            "are left out; `atml finalize` makes one."
        )
    if shown.study is None:
        return (
            "The storage does not have this model's study, so its front, learning rates, learning curves, "
            "pruned trials and cost are left out."
        )
    return ""
