"""What every network does to a segment first."""

import pytest
import torch

from atml.models import ARCHITECTURES, get_architecture
from atml.models.front import CLIP, SegmentNorm

LENGTH = 1250
UNEVEN = ("afnet", "linear")  # the original's network, and one without a convolution


@pytest.fixture
def ecg():
    return torch.randn(4, 1, LENGTH, generator=torch.Generator().manual_seed(0))


def network(name):
    torch.manual_seed(0)
    architecture = get_architecture(name)
    return architecture.build(architecture.default(), LENGTH).eval()


@torch.no_grad()
def answers(module, ecg):
    return module(ecg)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize(("gain", "offset"), [(0.25, 0.0), (4.0, 0.0), (1000.0, 5000.0), (0.02, 0.0)])
def test_gain_and_offset_do_not_matter(name, ecg, gain, offset):
    module = network(name)
    torch.testing.assert_close(
        answers(module, gain * ecg + offset), answers(module, ecg), rtol=0.02, atol=0.02
    )


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name not in UNEVEN])
def test_polarity_does_not_matter(name, ecg):
    module = network(name)
    torch.testing.assert_close(answers(module, -ecg), answers(module, ecg), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("value", [0.0, 7.0, -1e6, 1e15])
def test_a_flat_line_has_a_finite_answer(name, value):
    assert answers(network(name), torch.full((2, 1, LENGTH), value)).isfinite().all()


def test_a_segment_is_scaled_to_mean_0_and_variance_1(ecg):
    scaled = SegmentNorm()(3 * ecg + 2)
    assert scaled.mean(dim=-1).abs().max() < 1e-5
    torch.testing.assert_close(scaled.var(dim=-1, correction=0), torch.ones(4, 1), rtol=1e-3, atol=0)


def test_a_spike_is_clipped_in_mv_and_uv_but_not_in_v(ecg):
    millivolts = 0.2 * ecg
    millivolts[:, :, 600:604] += 10.0
    rest = [float(SegmentNorm()(gain * millivolts)[:, :, :500].std()) for gain in (1e3, 1.0, 1e-3)]
    assert rest[0] == pytest.approx(rest[1], rel=1e-2)
    assert rest[2] < 0.8 * rest[1]


def test_one_spike_leaves_the_rest_as_large_as_it_was(ecg):
    struck = ecg.clone()
    struck[:, :, 600:604] += 50.0
    before, after = SegmentNorm()(ecg)[:, :, :500], SegmentNorm()(struck)[:, :, :500]
    assert 0.6 < (after.std() / before.std()) <= 1
    assert SegmentNorm()(struck).max() < 50 / CLIP
