"""What a report and a model card say about a shipped model, from the files of its bundle."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from atml.evaluation import Abstention, Metrics, Robustness, ScoreCurves, trade_off
from atml.reports.html.contents import OUT_OF_FOLD, TEST_SUBJECTS, ModelPart, Trace
from atml.reports.scored import Scored
from atml.version import __version__

SUBJECTS_SHOWN, WRONG_SHOWN = 4, 2


def model_part(
    manifest: Mapping[str, Any],
    figures: Mapping[str, Any],
    *,
    name: str,
    segment_length: int,
    scored: Scored | None = None,
    with_traces: bool = False,
) -> ModelPart:
    """Return what is said about a model.

    Args:
        manifest: Content of the bundle's `manifest.json`, or the facts from which it is written.
        figures: Content of `metrics.json`.
        name: Of the bundle.
        segment_length: Samples of a segment.
        scored: Held-out scores of its networks, for abstention and examples.
        with_traces: Include example ECGs from `scored`.
    """
    out_of_fold = Metrics.from_dict(figures["out_of_fold"])
    test, withheld = figures["test"], figures["abstention"]
    return ModelPart(
        name=name,
        study=str(manifest["study"]),
        trial=int(manifest["trial"]),
        architecture=str(manifest["architecture"]),
        config=manifest["config"],
        learning_rate=float(manifest["learning_rate"]),
        onnx_bytes=int(figures["onnx_bytes"]),
        counted_bytes=_counted_bytes(figures, manifest["spec"]["targets"]["size_of"]),
        device=_device(figures),
        threshold=float(figures["threshold"]),
        positive=tuple(manifest["positive"]),
        parity=float(figures["parity"]),
        beta=out_of_fold.beta,
        sizes=tuple(manifest["sizes"]),
        created=str(manifest["created"]),
        version=str(manifest.get("atml", __version__)),
        segment_length=segment_length,
        search_fbeta=float(figures["search_fbeta"]),
        folds_fbeta=float(figures["folds_fbeta"]),
        out_of_fold=out_of_fold,
        test=Metrics.from_dict(test) if test else None,
        test_looks=int(figures["test_looks"]),
        robustness=Robustness.from_dict(figures["robustness"]),
        curves=ScoreCurves.from_dict(figures["score_curves"]),
        abstentions=_abstentions(scored, out_of_fold) if scored else (),
        withheld=withheld,
        answered=_answered(withheld) if withheld else {},
        traces=_traces(scored, out_of_fold) if scored and with_traces else (),
        training_data=manifest["training_data"],
        test_data=manifest["test_data"],
        spec=manifest["spec"],
        files=tuple(manifest.get("files", ())),
    )


def _counted_bytes(figures: Mapping[str, Any], size_of: str) -> int | None:
    int8 = figures["int8"] or {"onnx_bytes": None}
    counted: dict[str, int | None] = {
        "onnx": figures["onnx_bytes"],
        "int8": int8["onnx_bytes"],
        "flash": figures["c"]["flash_bytes"],
    }
    return counted[size_of]


def _device(figures: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return the sizes of the model's files and what its C code needs, as far as they are recorded."""
    code, ram = figures["c"], figures["c"]["ram_bytes"]
    int8 = figures["int8"] if figures["int8"] and figures["int8"]["shipped"] else None
    stack = 0 if ram is None else ram - code["memory_bytes"]
    rows = [
        ("model.onnx", figures["onnx_bytes"], "bytes"),
        ("model.int8.onnx", int8["onnx_bytes"] if int8 else None, "bytes"),
        (f"flash of ecm.c (from {code['model']})", code["flash_bytes"], "bytes"),
        (f"RAM, {stack} bytes of it reserved for the stack", ram, "bytes"),
        ("instructions for one segment, Cortex-M4F", code["instructions"], ""),
        ("multiply-accumulates for one segment", code["macs"], ""),
    ]
    found = [(name, f"{value:,} {unit}".strip()) for name, value, unit in rows if value is not None]
    if int8:
        found.append(("model.int8.onnx compared with model.onnx", _agreement(int8)))
    return (*found, ("ONNX Runtime, where it was made", f"{figures['latency_ms']:.2f} ms"))


def _agreement(int8: Mapping[str, Any]) -> str:
    equal, difference = int8["decisions_equal"], int8["largest_logit_difference"]
    return f"{equal:.2%} of decisions equal, logits differ by at most {difference:.2g}"


def _abstentions(scored: Scored, metrics: Metrics) -> tuple[Abstention, ...]:
    return trade_off(
        scored.dataset.labels,
        scored.scores,
        scored.dataset.subjects,
        scored.dataset.rhythms,
        threshold=metrics.threshold,
        beta=metrics.beta,
    )


def _answered(withheld: Mapping[str, Any]) -> dict[str, Metrics]:
    found = {TEST_SUBJECTS: withheld["test"], OUT_OF_FOLD: withheld["out_of_fold"]}
    return {name: Metrics.from_dict(one["metrics"]) for name, one in found.items() if one and one["metrics"]}


def _traces(scored: Scored, metrics: Metrics) -> tuple[Trace, ...]:
    """Return examples of the worst subjects: of each, the most confident errors and one right answer."""
    found = []
    for subject in metrics.worst_first[:SUBJECTS_SHOWN]:
        own = np.flatnonzero(scored.dataset.subjects == subject.subject)
        afib, score = scored.dataset.labels[own] == 1, scored.scores[own]
        called = score >= metrics.threshold
        order = np.argsort(score, kind="stable")
        alarms, misses = order[(called & ~afib)[order]][::-1], order[(~called & afib)[order]]
        both = len(alarms) and len(misses)
        shown = [*alarms[: 1 if both else WRONG_SHOWN], *misses[: 1 if both else WRONG_SHOWN]]
        right = order[(called == afib)[order]]
        shown += [right[len(right) // 2]] if len(right) else []  # a typical one
        found += [_trace(scored, int(own[place]), metrics.threshold) for place in shown]
    return tuple(found)


def _trace(scored: Scored, row: int, threshold: float) -> Trace:
    dataset, score = scored.dataset, float(scored.scores[row])
    is_afib, called = bool(dataset.labels[row]), score >= threshold
    kinds = {
        (True, True): "AFIB, called AFIB",
        (True, False): "AFIB, missed",
        (False, True): "not AFIB, called AFIB",
        (False, False): "not AFIB, not called",
    }
    return Trace(
        subject=str(dataset.subjects[row]),
        rhythm=str(dataset.rhythms[row]),
        kind=kinds[is_afib, called],
        is_right=is_afib == called,
        score=score,
        file=dataset.files[row] if dataset.store_names else "",
        samples=dataset.samples(np.array([row]))[0],
    )
