"""Each subject is judged by the network that has not seen it, extreme segments by what is shipped."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from atml.evaluation.robustness import extreme_segments
from atml.reports.out_of_fold import out_of_fold_robustness, shipped_robustness

LENGTH = 250


class Constant(torch.nn.Module):
    """Answers every segment with the same logit."""

    def __init__(self):
        super().__init__()
        self.logit = torch.nn.Parameter(torch.zeros(1))

    def forward(self, ecg):
        logit = self.logit.expand(len(ecg))
        return torch.stack([torch.zeros_like(logit), logit], dim=1)


@pytest.mark.parametrize("segments", [8, 12])  # there are 8 extreme segments
def test_extreme_segments_are_answered_by_the_shipped_model_alone(segments):
    assert len(extreme_segments(LENGTH, 1.0)) == 8
    labels = np.arange(segments) % 2
    samples = np.random.default_rng(0).normal(size=(segments, LENGTH)).astype(np.float32)
    dataset = SimpleNamespace(
        segment_length=LENGTH,
        subjects=np.repeat(["S1", "S2"], segments // 2),
        labels=labels,
        samples=lambda rows: samples[rows],
    )
    halves = np.split(np.arange(segments), 2)
    logits = (-1.0, 3.0)
    candidate = SimpleNamespace(
        proposal=SimpleNamespace(build=lambda length, *, seed: Constant()),
        threshold=0.5,
        fits=[
            SimpleNamespace(state_dict={"logit": torch.tensor([logit])}, valid_rows=half)
            for logit, half in zip(logits, halves, strict=True)
        ],
    )
    found = out_of_fold_robustness(candidate, dataset, beta=2.0)
    # The second network calls all of its subject's segments AFIB, the first none.
    assert found.undisturbed.specificity == 0.5
    # The model that is shipped has other weights and another threshold.
    for threshold, is_afib in ((0.2, True), (0.3, False)):
        retrained = SimpleNamespace(
            choice=SimpleNamespace(candidate=candidate),
            fit=SimpleNamespace(state_dict={"logit": torch.tensor([-1.0])}),
            threshold=threshold,
        )
        shipped = shipped_robustness(found, retrained, dataset)
        assert list(shipped.extremes.values()) == pytest.approx([1 / (1 + np.exp(1.0))] * 8)
        assert (shipped.flat_line_is_afib, shipped.disturbed) == (is_afib, found.disturbed)
