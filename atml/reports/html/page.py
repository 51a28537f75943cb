"""Puts a report together: one HTML page with its styles and pictures, without scripts."""

import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from atml.reports.audit_pictures import SECOND
from atml.reports.html import words
from atml.reports.html.contents import Contents, ModelPart, StudyPart, Target
from atml.reports.html.model_charts import gain_of, reliability_chart, roc_chart, trace_picture
from atml.reports.html.model_part import model_part
from atml.reports.html.study_charts import SIGNS, first_fold_chart, front_chart, loss_charts, rate_chart
from atml.reports.html.study_part import study_part
from atml.reports.html.toml import spec_as_toml
from atml.reports.scored import Scored
from atml.service.studies import StoredStudy
from atml.version import __version__

TEMPLATES = Path(__file__).parent.parent / "templates"
PACKAGES = ("torch", "onnxruntime", "optuna", "numpy")
STATES = (
    ("good", "good: trained on all folds"),
    ("tried", "tried, stopped earlier"),
    ("bad", "bad"),
    ("pruned", "pruned: near a bad one"),
    ("open", "not tried"),
)


def report_html(
    *,
    stored: StoredStudy | None = None,
    manifest: Mapping[str, Any] | None = None,
    figures: Mapping[str, Any] | None = None,
    name: str = "",
    scored: Scored | None = None,
    with_traces: bool = False,
) -> str:
    """Return the report of a study, of one of its models, or of both, as one HTML page.

    Args:
        stored: The study.
        manifest: The facts in the model's `manifest.json`.
        figures: The figures in its `metrics.json`.
        name: Of the bundle.
        scored: Held-out scores, for the ROC curve and calibration; not needed if `figures` has them as
            `score_curves`.
        with_traces: Draw example ECGs of `scored`, which puts patients' data into the page.

    Raises:
        ValueError: there is neither a study nor a model.
    """
    model = None
    if manifest is not None and figures is not None:
        model = model_part(manifest, figures, name=name, scored=scored, with_traces=with_traces)
    return render(contents(study_part(stored) if stored else None, model))


def contents(
    study: StudyPart | None, model: ModelPart | None, models: tuple[ModelPart, ...] = ()
) -> Contents:
    """Return what a report says, with the time and the versions of this process.

    Raises:
        ValueError: there is neither a study nor a model.
    """
    if study is None and model is None:
        raise ValueError("a report needs a study or a model, but got neither.")
    return Contents(
        study=study,
        model=model,
        models=models or ((model,) if model else ()),
        created=datetime.now(UTC).isoformat(sep=" ", timespec="minutes").replace("+00:00", " UTC"),
        versions={
            "atml": __version__,
            "Python": platform.python_version(),
            **{package: version(package) for package in PACKAGES},
        },
    )


def render(shown: Contents) -> str:
    """Return the page."""
    study, model = shown.study, shown.model
    charts = _charts(shown)
    gain = gain_of(model.traces) if model and model.traces else 0
    return (
        environment(html=True)
        .get_template("report.html")
        .render(
            contents=shown,
            css=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
            title=f"ATML report: {_title(shown)}",
            answer=_answer(shown),
            targets=_targets(shown),
            sections=_sections(shown, charts),
            charts=charts,
            evaluations=_evaluations(model),
            traces=[(one, trace_picture(one, gain)) for one in model.traces] if model else [],
            paper=f"{SECOND} mm/s and {gain:g} mm/mV, taking a unit for a millivolt",
            disturbed=_disturbed(model),
            states=STATES,
            signs=SIGNS,
            worst=words.worst,
            metric_names=words.metric_names,
            commands=_commands(shown),
            facts=_facts(shown),
            spec=spec_as_toml(_spec(shown)),
            missing=_missing(shown),
        )
    )


@cache
def environment(*, html: bool) -> Environment:
    """Return the templates' environment; only HTML is escaped."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=html,  # noqa: S701
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(words.FILTERS)
    return made


def _charts(shown: Contents) -> dict[str, Any]:
    study, model = shown.study, shown.model
    charts: dict[str, Any] = {}
    if study:
        charts |= {
            "front": front_chart(study),
            "rates": [(name, rate_chart(name, points)) for name, points in study.rates.items()],
            "first_fold": first_fold_chart(study),
            "losses": loss_charts(study),
        }
    if model and model.curves:
        charts |= {
            "roc": roc_chart(model.curves, model.out_of_fold),
            "reliability": reliability_chart(model.curves),
        }
    return charts


def _title(shown: Contents) -> str:
    if shown.study:
        return f"study {shown.study.name}"
    return f"model {shown.model.name} of study {shown.model.study}" if shown.model else ""


def _answer(shown: Contents) -> str:
    if shown.study:
        return shown.study.answer
    model = shown.model
    assert model is not None  # noqa: S101
    tested = model.test or model.out_of_fold
    where = "subjects of the test set" if model.test else "training subjects, each scored without it"
    ends = tested.intervals.get("fbeta")
    return (
        f"This {model.architecture} with {model.onnx_bytes:,} bytes has F{model.beta:g} {tested.fbeta:.3f}"
        f"{f' (95 % interval {words.interval(ends)})' if ends else ''} on {tested.subjects} {where}."
    )


def _targets(shown: Contents) -> tuple[Target, ...]:
    """Return the study's targets with that of robustness, which only a shipped model can meet."""
    floor = _spec(shown)["targets"].get("robust_fbeta")
    found = shown.study.targets if shown.study else ()
    if floor is None:
        return found
    robust = shown.model.robustness.robust_fbeta if shown.model and shown.model.robustness else None
    target = Target(
        text=f"F-beta under disturbances at least {floor:g}",
        reached="no shipped model" if robust is None else f"{robust:.4f} by the shipped model",
        met=None if robust is None else robust >= floor,
    )
    return (*found, target)


def _sections(shown: Contents, charts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the identifier and name of every section that the page has."""
    study, model = shown.study, shown.model
    named = [
        ("models", "Models" if len(shown.models) > 1 else "Model", model),
        ("front", "Front", study and charts.get("front")),
        ("architectures", "Architectures", study),
        ("rates", "Learning rates", study),
        ("curves", "Learning curves", study and charts.get("first_fold")),
        ("ended", "Ended early", study),
        ("subjects", "Subjects", model),
        ("rhythms", "Rhythms", model),
        ("scores", "ROC and calibration", model),
        ("robustness", "Robustness", model and model.robustness),
        ("cost", "Cost", study),
        ("looks", "Looks at the test set", True),
        ("again", "Reproduce", True),
    ]
    return [(name, text) for name, text, there in named if there]


def _evaluations(model: ModelPart | None) -> list[tuple[str, Any]]:
    if model is None:
        return []
    tested = [("Test subjects", model.test)] if model.test else []
    return [*tested, ("Training subjects, out of fold", model.out_of_fold)]


def _disturbed(model: ModelPart | None) -> list[Any]:
    if model is None or model.robustness is None:
        return []
    ordered = sorted(model.robustness.disturbed, key=lambda one: -(one.roc_auc_loss or 0.0))
    return [model.robustness.undisturbed, *ordered]


def _spec(shown: Contents) -> Mapping[str, Any]:
    if shown.study:
        return shown.study.spec
    return shown.model.spec if shown.model else {}


def _commands(shown: Contents) -> str:
    name = shown.study.name if shown.study else shown.model.study if shown.model else ""
    tested = bool(shown.study and shown.study.looks) or bool(shown.model and shown.model.test)
    lines = [
        f"pip install atml=={shown.model.version if shown.model else __version__}",
        "atml search study.toml --train TRAIN",
        f"atml finalize {name}{' --test TEST' if tested else ''}",
        f"atml report {name}",
    ]
    return "\n".join(lines)


def _facts(shown: Contents) -> list[tuple[str, str]]:
    study, model = shown.study, shown.model
    found = []
    if study:
        data = study.data
        found.append(
            (
                "Training segments",
                f"{data['segments']:,} of {data['subjects']} subjects, {data['segment_length']} samples "
                f"each, in {data['directory']}; fingerprint {data['fingerprint']}",
            )
        )
    elif model:
        data = model.training_data
        found.append(("Training segments", f"{data['segments']:,}; fingerprint {data['fingerprint']}"))
    if model and model.test_data:
        data = model.test_data
        found.append(("Test segments", f"{data['segments']:,}; fingerprint {data['fingerprint']}"))
    if model:
        found.append(("Model made", f"{model.created} by ATML {model.version}"))
    found.append(("Versions of this report", words.items_text(shown.versions)))
    return found


def _missing(shown: Contents) -> str:
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
