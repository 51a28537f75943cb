"""BatchNorm for few channels in channels-last memory, on a CPU.

PyTorch's own uses the vector units for the channels. Here a row of the memory holds several time steps, so
that it is long enough for them, and sums are matrix products.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

STEPS_IN_A_ROW = (32, 16, 8, 4, 2, 1)


def batch_norm(
    x: Tensor, mean: Tensor, variance: Tensor, weight: Tensor, bias: Tensor, eps: float, momentum: float
) -> Tensor:
    """Normalise a batch [batch, channels, time] by its own statistics; update the running ones in place."""
    y, of_batch, biased = _BatchNorm.apply(x, weight, bias, eps)  # type: ignore[no-untyped-call]
    count = x.shape[0] * x.shape[2]
    mean.lerp_(of_batch, momentum)
    variance.lerp_(biased * (count / (count - 1)), momentum)
    result: Tensor = y
    return result


def normalised(x: Tensor, mean: Tensor, variance: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Normalise [batch, channels, time] by these statistics."""
    rows = _Rows(x)
    scale = weight * torch.rsqrt(variance + eps)
    y = torch.addcmul(rows.repeated(bias - scale * mean), rows.of(x), rows.repeated(scale))
    return rows.as_batch(y)


class _BatchNorm(torch.autograd.Function):
    """Ioffe and Szegedy, Batch Normalization, 2015, with the gradients given there."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, ...]:
        """Return the result, and the mean and the biased variance of each channel."""
        rows = _Rows(x)
        values = rows.of(x)
        mean = rows.sums(values) / rows.count
        centred = values - rows.repeated(mean)
        variance = rows.sums(centred * centred) / rows.count
        inverse = torch.rsqrt(variance + eps)
        y = torch.addcmul(rows.repeated(bias), centred, rows.repeated(weight * inverse))
        ctx.rows = rows
        ctx.save_for_backward(centred, inverse, weight)
        ctx.mark_non_differentiable(mean, variance)
        return rows.as_batch(y), mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        """Return the gradients of x, weight and bias."""
        rows: _Rows = ctx.rows
        centred, inverse, weight = ctx.saved_tensors
        of_y = rows.of(gradient)
        of_bias = rows.sums(of_y)
        of_weight = rows.sums(of_y * centred) * inverse
        scale = weight * inverse
        of_x = torch.addcmul(rows.repeated(-scale * of_bias / rows.count), of_y, rows.repeated(scale))
        of_x.addcmul_(centred, rows.repeated(-scale * inverse * of_weight / rows.count))
        return rows.as_batch(of_x), of_weight, of_bias, None


class _Rows:
    """The channels-last memory of [batch, channels, time] as rows of several time steps."""

    def __init__(self, x: Tensor) -> None:
        self.batch, self.channels, self.time = x.shape
        self.count = self.batch * self.time  # values of a channel
        self.steps = next(steps for steps in STEPS_IN_A_ROW if self.count % steps == 0)
        self.ones = x.new_ones(1, self.count // self.steps)

    def of(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2).reshape(-1, self.steps * self.channels)

    def as_batch(self, values: Tensor) -> Tensor:
        return values.view(self.batch, self.time, self.channels).transpose(1, 2)

    def sums(self, values: Tensor) -> Tensor:
        """Return the sum of each channel."""
        return (self.ones @ values).view(self.steps, self.channels).sum(0)

    def repeated(self, of_channels: Tensor) -> Tensor:
        return of_channels.repeat(self.steps)
