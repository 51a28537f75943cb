"""The model card of a bundle: what a model is for, how well it does and where it fails, in Markdown.

After Mitchell et al., Model Cards for Model Reporting (2019). Everything is taken from recorded figures.
"""

import math

from atml.ecg import SAMPLING_RATE_HZ
from atml.ecg.cutting import FILTER
from atml.reports.html.contents import ModelPart
from atml.reports.html.page import environment
from atml.reports.html.toml import spec_as_toml


def card_of(model: ModelPart) -> str:
    """Return the model card of what is known about a model."""
    return (
        environment(html=False)
        .get_template("model_card.md")
        .render(
            model=model,
            margin=_margin(model.threshold),
            rate_hz=SAMPLING_RATE_HZ,
            filter=FILTER,
            spec=spec_as_toml(model.spec),
        )
    )


def _margin(threshold: float) -> float | None:
    """Return the difference of the logits at the threshold, None if that is infinite."""
    return math.log(threshold / (1 - threshold)) if 0 < threshold < 1 else None
