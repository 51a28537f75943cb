"""Puts a report together: one HTML page with its styles and pictures, without scripts."""

import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from atml.ecg import SAMPLING_RATE_HZ
from atml.reports.html import words
from atml.reports.html.answer import answer, targets, title
from atml.reports.html.contents import Contents, ModelPart, StudyPart, Trace
from atml.reports.html.model_charts import reliability_chart, roc_chart
from atml.reports.html.study_charts import first_fold_chart, front_chart, loss_charts
from atml.reports.html.toml import spec_as_toml
from atml.reports.paper import strip
from atml.version import __version__

TEMPLATES = Path(__file__).parent.parent / "templates"
SHOWN_SAMPLES = 5 * SAMPLING_RATE_HZ  # of an example
PACKAGES = ("torch", "onnxruntime", "optuna", "numpy")
# Of a point of the grid: its sign, which tells it apart without colour, and what it means.
STATES = {
    "good": ("●", "good: trained on all folds"),
    "tried": ("○", "tried, stopped earlier"),
    "bad": ("×", "bad"),
    "ruled out": ("–", "ruled out: near a bad one"),
    "open": ("", "not tried"),
}


def contents(
    study: StudyPart | None, model: ModelPart | None, models: tuple[ModelPart, ...] = ()
) -> Contents:
    """Return what a report says, with the time and the versions of this process.

    It is about the study if there are `models`, of which `model` is shown in detail; else about `model`.
    """
    return Contents(
        about_model=model is not None and not models,
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
    model = shown.model
    charts = _charts(shown)
    return (
        environment(html=True)
        .get_template("report.html")
        .render(
            contents=shown,
            title=f"ATML report: {title(shown)}",
            answer=answer(shown),
            targets=targets(shown),
            sections=_sections(shown, charts),
            charts=charts,
            traces=[(one, _picture(one)) for one in model.traces] if model else [],
            states=STATES,
            spec=spec_as_toml(shown.spec),
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
    made.globals.update(words.FUNCTIONS)
    made.globals["css"] = Markup((TEMPLATES / "report.css").read_text(encoding="utf-8"))  # noqa: S704 - our own
    return made


def _picture(trace: Trace) -> Markup:
    return strip(trace.samples[:SHOWN_SAMPLES], f"ECG of {trace.subject}: {trace.kind}")


def _charts(shown: Contents) -> dict[str, Any]:
    study, model = shown.study, shown.model
    charts: dict[str, Any] = {}
    if study:
        charts |= {
            "front": front_chart(study, shown.references),
            "first_fold": first_fold_chart(study),
            "losses": loss_charts(study),
        }
    if model:
        charts |= {
            "roc": roc_chart(model.curves, model.out_of_fold),
            "reliability": reliability_chart(model.curves),
        }
    return charts


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
        ("episodes", "Episodes", model),
        ("scores", "ROC and calibration", model),
        ("device", "Device", model),
        ("robustness", "Robustness", model),
        ("cost", "Cost", study),
        ("looks", "Looks at the test set", True),
        ("again", "Reproduce", True),
    ]
    return [(name, text) for name, text, there in named if there]
