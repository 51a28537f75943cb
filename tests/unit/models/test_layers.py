"""Blocks that several architectures share."""

import pytest
import torch
from torch import Tensor

from atml.models.layers import MeanStdPool
from atml.models.layout import is_channels_last


class TestMeanStdPool:
    def test_joins_the_mean_and_the_standard_deviation(self):
        x = torch.randn(3, 4, 50) * 5 + 2
        std, mean = torch.std_mean(x, dim=-1, correction=0)
        expected = torch.cat([mean, std], dim=1)
        torch.testing.assert_close(MeanStdPool()(x), expected)
        torch.testing.assert_close(MeanStdPool()(x.requires_grad_()), expected)

    def test_the_gradients_are_those_of_finite_differences(self):
        x = torch.randn(3, 4, 9, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(MeanStdPool(), (x,))

    def test_a_constant_has_a_finite_gradient(self):
        x = torch.full((2, 3, 9), 7.0, requires_grad=True)
        MeanStdPool()(x).sum().backward()
        assert x.grad is not None
        torch.testing.assert_close(x.grad, torch.full((2, 3, 9), 1 / 9))

    @pytest.mark.parametrize("channels_innermost", [True, False])
    def test_the_gradient_keeps_the_layout(self, channels_innermost: bool):
        x = torch.randn(2, 20, 8).transpose(1, 2) if channels_innermost else torch.randn(2, 8, 20)
        layouts: list[bool] = []
        x = x.requires_grad_() * 1

        def note(gradient: Tensor) -> None:
            layouts.append(is_channels_last(gradient))

        x.register_hook(note)
        MeanStdPool()(x).sum().backward()
        assert layouts == [channels_innermost]
