"""What a report says first: whose it is, the answer and which targets are met."""

from atml.reports.html import words
from atml.reports.html.contents import Contents, ModelPart, Target


def title(shown: Contents) -> str:
    """Name the study or the model."""
    if shown.study and not shown.about_model:
        return f"study {shown.study.result.study}"
    return f"model {shown.model.name} of study {shown.model.study}" if shown.model else ""


def answer(shown: Contents) -> str:
    """Return the answer in a sentence or two."""
    study, model = shown.study, shown.model
    if model is None:
        return study.answer if study else ""
    if study is None or shown.about_model:
        return f"This model is {_in_words(model)}{_on_test(model)}."
    if study.best and model.trial == study.best.number:
        return (
            f"{study.answer} Evaluated again on new folds, its mean over all folds is "
            f"{model.folds_fbeta:.3f}{_on_test(model)}."
        )
    return f"{study.answer} After a second evaluation the choice is {_in_words(model)}{_on_test(model)}."


def targets(shown: Contents) -> tuple[Target, ...]:
    """Compare the targets with the figures of the shipped model, else of the best trial if it has finished.

    The figures of the search, which selected the model, are biased upwards. Only a shipped model can meet the
    target of robustness.
    """
    study, model, spec = shown.study, shown.model, shown.spec["targets"]
    best = study.best if study and study.best and study.best.is_finished else None
    fbeta, size = (best.fbeta, best.onnx_bytes) if best else (None, None)
    if model:
        fbeta, size = model.folds_fbeta, model.counted_bytes
    robust = model.robustness.robust_fbeta if model else None
    name = f"F{study.beta if study else model.beta if model else 0.0:g}"
    file = words.SIZES[spec["size_of"]]
    rows = [
        (spec.get("fbeta"), "{} at least {:g}", name, fbeta, 1),
        (spec.get("onnx_bytes"), "{} at most {:,} bytes", file, size, -1),
        (spec.get("robust_fbeta"), "{} at least {:g}", f"{name} under disturbances", robust, 1),
    ]
    return tuple(
        Target(
            text=text.format(what, wanted),
            reached="not known" if value is None else f"{value:,} bytes" if sign < 0 else f"{value:.4f}",
            met=None if value is None else bool(sign * value >= sign * wanted),
        )
        for wanted, text, what, value, sign in rows
        if wanted is not None
    )


def _in_words(model: ModelPart) -> str:
    size = f"{model.onnx_bytes:,} bytes"
    if model.counted_bytes is not None:  # as the study counts
        size = f"{model.counted_bytes:,} {words.unit(model.spec['targets']['size_of'])}"
    return (
        f"{model.architecture} with {size}: F{model.beta:g} {model.folds_fbeta:.3f} "
        "(mean over all folds) on subjects it was not trained on"
    )


def _on_test(model: ModelPart) -> str:
    if model.test is None:
        return ""
    key, name = words.headline(model.test)
    ends = model.test.intervals.get(key)
    spread = f" (95 % interval {words.interval(ends)})" if ends else ""
    what = "" if key == "fbeta" else f"without AFIB, {name} "
    return f"; on {model.test.subjects} test subjects {what}{words.f3(model.test.defined(key))}{spread}"
