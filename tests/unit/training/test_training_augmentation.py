from dataclasses import replace

import pytest
import torch

from atml.training import AugmentationSettings
from atml.training.augmentation import Augmentation

LENGTH = 500
NONE = AugmentationSettings(
    probability=0.0, noise=0.0, baseline_wander=0.0, time_stretch=0.0, shift=0.0, flat_line=0.0
)


def augmented(ecg, settings, seed=0):
    augment = Augmentation(settings, ecg.shape[-1], torch.device("cpu"))
    augment.reseed(seed)
    return augment(ecg.clone())


@pytest.fixture
def ecg():
    return torch.randn(256, 1, LENGTH, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "settings",
    [
        NONE,
        replace(NONE, probability=1.0),
        AugmentationSettings(probability=0.0),
    ],
)
def test_zero_strength_or_probability_changes_nothing(ecg, settings):
    assert torch.equal(augmented(ecg, settings), ecg)


@pytest.mark.parametrize("batch", [1, 2, 64])
@pytest.mark.parametrize("length", [50, 1250])
def test_shape_type_and_finiteness_are_kept(batch, length):
    ecg = torch.randn(batch, 1, length)
    out = augmented(ecg, AugmentationSettings(probability=1.0))
    assert out.shape == ecg.shape
    assert out.dtype == torch.float32
    assert out.isfinite().all()


def test_a_seed_gives_the_same_and_another_gives_another(ecg):
    first = augmented(ecg, AugmentationSettings(), seed=1)
    assert torch.equal(first, augmented(ecg, AugmentationSettings(), seed=1))
    assert not torch.equal(first, augmented(ecg, AugmentationSettings(), seed=2))


def test_the_global_random_state_is_not_touched(ecg):
    before = torch.get_rng_state()
    augmented(ecg, AugmentationSettings())
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("change", ["noise", "baseline_wander", "time_stretch", "shift"])
def test_a_change_happens_to_the_share_of_segments_asked_for(ecg, change):
    settings = replace(NONE, probability=0.25, **{change: 0.2})
    changed = (augmented(ecg, settings) != ecg).any(dim=2).float().mean()
    assert 0.15 < changed < 0.35


def test_noise_is_no_louder_than_its_strength(ecg):
    noise = augmented(ecg, replace(NONE, probability=1.0, noise=0.1)) - ecg
    deviations = noise.std(dim=2)
    assert deviations.max() < 0.11
    assert deviations.mean() == pytest.approx(0.05, rel=0.15)
    assert noise.mean().abs() < 0.001


def test_noise_differs_between_the_segments_of_a_batch_larger_than_its_bank():
    ecg = torch.sin(torch.arange(2000.0)).repeat(300, 1, 1)
    noise = augmented(ecg, replace(NONE, probability=1.0, noise=0.1)) - ecg
    assert noise.isfinite().all()
    assert not torch.equal(noise[0], noise[1])


def test_wander_is_slow_and_as_strong_as_asked(ecg):
    wander = augmented(ecg, replace(NONE, probability=1.0, baseline_wander=0.3)) - ecg
    assert wander.square().mean().sqrt() == pytest.approx(0.3, rel=0.05)
    power = torch.fft.rfft(wander[:, 0] * torch.hann_window(LENGTH)).abs().square().mean(0)
    assert power[:6].sum() > 0.99 * power.sum()  # of 2.5 waves and fewer


def test_stretch_changes_the_rate_and_nothing_else():
    waves = torch.sin(torch.arange(LENGTH) * (2 * torch.pi * 20 / LENGTH)).expand(128, 1, LENGTH)
    out = augmented(waves, replace(NONE, probability=1.0, time_stretch=0.2))
    peaks = torch.fft.rfft(out[:, 0] * torch.hann_window(LENGTH)).abs().argmax(1)
    assert peaks.min() >= 15
    assert peaks.max() <= 25
    assert peaks.unique().numel() > 4
    assert out.abs().max() <= 1


def test_a_shift_moves_the_middle_along_unchanged():
    ramp = torch.arange(LENGTH, dtype=torch.float32).expand(128, 1, LENGTH)
    out = augmented(ramp, replace(NONE, probability=1.0, shift=0.1))
    moved = (out - ramp)[:, 0, 60:-60]
    assert moved.std(dim=1).max() < 1e-3
    assert moved[:, 0].abs().max() <= 0.1 * LENGTH
    assert moved[:, 0].std() > 0.03 * LENGTH


@pytest.mark.parametrize("length", [2, 3, 1250])
def test_the_strongest_stretch_and_shift_stay_within_the_segment(length):
    ecg = torch.rand(200, 1, length)
    out = augmented(ecg, replace(NONE, probability=1.0, time_stretch=0.5, shift=0.5))
    assert out.min() >= 0
    assert out.max() <= 1


@pytest.mark.parametrize("change", ["noise", "baseline_wander"])
def test_strengths_are_relative_to_the_segment(ecg, change):
    settings = replace(NONE, probability=1.0, **{change: 0.3})
    small = augmented(ecg, settings)
    torch.testing.assert_close(augmented(1000 * ecg, settings), 1000 * small, rtol=1e-4, atol=1e-2)
    flat = torch.full((4, 1, LENGTH), 7.0)
    assert torch.equal(augmented(flat, settings), flat)


def test_some_segments_become_flat_lines_labelled_normal(ecg):
    augment = Augmentation(replace(NONE, flat_line=0.25), LENGTH, torch.device("cpu"))
    augment.reseed(0)
    changed, labels = ecg.clone(), torch.ones(len(ecg), dtype=torch.int64)
    augment.add_flat_lines(changed, labels)
    flat = (changed == 0).all(dim=(1, 2))
    assert 0.15 < flat.float().mean() < 0.35
    assert torch.equal(labels, (~flat).long())
    assert torch.equal(changed[~flat], ecg[~flat])
