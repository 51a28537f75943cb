"""Augmentation of whole batches, at a few per cent of the cost of a training step."""

import torch
from torch import Tensor

from atml.training.settings import AugmentationSettings

# Normal numbers are drawn once per epoch and each batch uses a random slice: drawing them for each
# batch would cost as much as everything else.
NOISE_BANK = 1 << 19

# Half waves per segment: for 5 s, .1 to .5 Hz, where breathing and electrodes move the baseline.
HALF_WAVES = (1, 2, 3, 4, 5)


class Augmentation:
    """Changes batches of one segment length at random, with its own seed.

    Stretch and shift are one resampling along the segment. Where it goes past an end, the segment is
    mirrored, since wrapping around would add an irregular beat and a step.
    """

    def __init__(self, settings: AugmentationSettings, segment_length: int, device: torch.device) -> None:
        """Set up for segments of `segment_length` samples on `device`; call `reseed` before use."""
        self._settings = settings
        self._length = segment_length
        self._device = device
        self._random = torch.Generator(device)
        self._times = torch.arange(segment_length, dtype=torch.float32, device=device)
        angles = torch.outer(
            torch.tensor(HALF_WAVES, device=device), self._times * (torch.pi / segment_length)
        )
        self._waves = torch.cat([angles.sin(), angles.cos()])  # [2 · half waves, length]
        self._noise = torch.empty(0, device=device)

    def reseed(self, seed: int) -> None:
        """Make all further changes depend on `seed` alone."""
        self._random.manual_seed(seed)
        if self._settings.noise and self._settings.probability:
            self._noise = torch.randn(NOISE_BANK, generator=self._random, device=self._device)

    def __call__(self, ecg: Tensor) -> Tensor:
        """Return augmented segments for `ecg` [batch, 1, segment length], which may be overwritten."""
        rows = ecg.view(len(ecg), self._length)
        if self._settings.probability > 0:
            self._resample(rows)
            # Before anything is added: strengths are relative to the ECG itself, in whatever unit.
            deviations = _deviations(rows)
            self._add_wander(rows, deviations)
            self._add_noise(rows, deviations)
        return ecg

    def add_flat_lines(self, ecg: Tensor, labels: Tensor) -> None:
        """Replace some of the segments [batch, 1, segment length] by a flat line, which is Normal, in place.

        The scores of a network for a flat line would otherwise be arbitrary, since no ECG is one.
        """
        if self._settings.flat_line > 0:
            drawn = torch.rand(len(ecg), generator=self._random, device=self._device)
            chosen = drawn < self._settings.flat_line
            ecg.mul_(~chosen[:, None, None])
            labels.masked_fill_(chosen, 0)

    def _resample(self, rows: Tensor) -> None:
        """Stretch and shift in place, by linear interpolation."""
        if self._settings.time_stretch == 0 and self._settings.shift == 0:
            return
        stretched = self._strengths(len(rows), self._settings.time_stretch)
        shifted = self._strengths(len(rows), self._settings.shift)
        # Stretch about the middle, so that both ends are mirrored equally.
        offsets = shifted * self._length - stretched * (self._length / 2)
        last = self._length - 1
        at = torch.addcmul(offsets, 1 + stretched, self._times)
        at.abs_().sub_(last).abs_().neg_().add_(last)
        left = at.long().clamp_(0, last - 1)
        at.sub_(left)
        rows.copy_(torch.lerp(rows.gather(1, left), rows.gather(1, left.add_(1)), at))

    def _add_wander(self, rows: Tensor, deviations: Tensor) -> None:
        if self._settings.baseline_wander == 0:
            return
        size = self._settings.baseline_wander / len(HALF_WAVES) ** 0.5
        weights = torch.randn(len(rows), len(self._waves), generator=self._random, device=self._device)
        weights *= deviations * self._applied(len(rows))
        rows.addmm_(weights, self._waves, alpha=size)

    def _add_noise(self, rows: Tensor, deviations: Tensor) -> None:
        if self._settings.noise == 0:
            return
        sizes = self._strengths(len(rows), self._settings.noise).abs_() * deviations
        repeats = -(-rows.numel() // len(self._noise))
        bank = self._noise.repeat(repeats) if repeats > 1 else self._noise
        room = len(bank) - rows.numel() + 1
        start = int(torch.randint(room, (), generator=self._random, device=self._device))
        rows.addcmul_(bank[start : start + rows.numel()].view_as(rows), sizes)

    def _strengths(self, count: int, largest: float) -> Tensor:
        """Return [count, 1], uniform from -largest to largest; 0 where the change is not applied."""
        size = torch.rand(count, 1, generator=self._random, device=self._device)
        return (2 * size - 1) * largest * self._applied(count)

    def _applied(self, count: int) -> Tensor:
        """Return [count, 1]: 1 where a change is applied, else 0."""
        drawn = torch.rand(count, 1, generator=self._random, device=self._device)
        return (drawn < self._settings.probability).float()


def _deviations(rows: Tensor) -> Tensor:
    """Return the standard deviation of each row [n, 1], several times as fast as `Tensor.std` on a CPU."""
    centred = rows - rows.mean(dim=1, keepdim=True)
    norms = torch.linalg.vector_norm(centred, dim=1, keepdim=True)
    deviations: Tensor = norms / (rows.shape[1] - 1) ** 0.5
    return deviations
