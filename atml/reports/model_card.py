"""The model card of a bundle: what a model is for, how well it does and where it fails, in Markdown.

After Mitchell et al., Model Cards for Model Reporting (2019). Everything is taken from recorded figures.
"""

from typing import Any

from atml.ecg import SAMPLING_RATE_HZ
from atml.evaluation import Metrics, predictive_values
from atml.evaluation.predictive import counts_of
from atml.reports.html import words
from atml.reports.html.contents import ModelPart
from atml.reports.html.model_part import worst_first
from atml.reports.html.page import environment
from atml.reports.html.toml import spec_as_toml
from atml.reports.tripod import NOT_APPLICABLE, checklist, unanswered

WORST_SUBJECTS, WORST_DISTURBANCES = 5, 5


def card_of(model: ModelPart) -> str:
    """Return the model card of what is known about a model."""
    items = checklist(model)
    evaluations = [("Training subjects, out of fold", model.out_of_fold)]
    if model.test:
        evaluations.insert(0, ("Test subjects", model.test))
    return (
        environment(html=False)
        .get_template("model_card.md")
        .render(
            model=model,
            beta=f"F{model.beta:g}",
            seconds=model.segment_length / SAMPLING_RATE_HZ if model.segment_length else None,
            rate_hz=SAMPLING_RATE_HZ,
            evaluations=[(name, metrics, _afib(metrics)) for name, metrics in evaluations],
            metric_names=words.metric_names,
            episode_rows=words.episode_rows,
            predictive=[(name, predictive_values(metrics)) for name, metrics in evaluations],
            worst=[(name, worst_first(metrics)[:WORST_SUBJECTS]) for name, metrics in evaluations],
            weak_points=_weak_points(model),
            items=items,
            unanswered=unanswered(items),
            not_applicable=NOT_APPLICABLE,
            spec=spec_as_toml(model.spec),
        )
    )


def _afib(metrics: Metrics) -> tuple[int, int]:
    """Return how many segments are AFIB, and how many subjects have one."""
    afib = counts_of(metrics).afib
    return int(afib.sum()), int((afib > 0).sum())


def _weak_points(model: ModelPart) -> list[Any]:
    """Return the disturbances with the largest loss of ROC-AUC."""
    if model.robustness is None:
        return []
    known = [one for one in model.robustness.disturbed if one.roc_auc_loss is not None]
    return sorted(known, key=lambda one: -(one.roc_auc_loss or 0.0))[:WORST_DISTURBANCES]
