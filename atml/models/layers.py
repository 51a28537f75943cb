"""1-D blocks shared by several architectures; all take [batch, channels, time]."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from atml.models.layout import BatchNorm1d, Conv1d, Dropout

TINY = 1e-12  # far below any variance that matters


def convolution(
    inputs: int,
    outputs: int,
    kernel: int,
    *,
    stride: int = 1,
    groups: int = 1,
    activation: type[nn.Module] | None = nn.SiLU,
) -> nn.Sequential:
    """Return a convolution, BatchNorm and, unless None, an activation; outputs ceil(time / stride)."""
    # No bias: BatchNorm's shift makes it redundant. BatchNorm precedes the activation so that the
    # export can fold it into the convolution.
    layers: list[nn.Module] = [
        Conv1d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        BatchNorm1d(outputs),
    ]
    if activation is not None:
        layers.append(activation())
    return nn.Sequential(*layers)


def stem(outputs: int, kernel: int, *, stride: int) -> nn.Sequential:
    """Return the first convolution and its magnitude: [batch, 1, time] -> [batch, outputs, time / stride].

    A reversed electrode changes the sign of the whole segment. The magnitude of a convolution without
    bias does not depend on it, so neither does the network.
    """
    return nn.Sequential(
        Conv1d(1, outputs, kernel, stride, padding=kernel // 2, bias=False),
        Magnitude(),
    )


class Magnitude(nn.Module):
    """The absolute value."""

    def forward(self, x: Tensor) -> Tensor:
        """Return |x|."""
        return x.abs()


def separable(inputs: int, outputs: int, kernel: int, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Return a depthwise and a pointwise convolution, BatchNorm and SiLU."""
    return nn.Sequential(
        Conv1d(
            inputs,
            inputs,
            kernel,
            stride,
            padding=dilation * (kernel // 2),
            dilation=dilation,
            groups=inputs,
            bias=False,
        ),
        Conv1d(inputs, outputs, 1, bias=False),
        BatchNorm1d(outputs),
        nn.SiLU(),
    )


class SqueezeExcite(nn.Module):
    """Weight each channel depending on the means of all channels (Hu et al., 2018)."""

    def __init__(self, channels: int, *, hidden: int) -> None:
        super().__init__()
        # Convolutions of length one instead of Linear: [batch, channels, 1] needs no reshaping.
        self.gate = nn.Sequential(
            Conv1d(channels, hidden, 1),
            nn.SiLU(),
            Conv1d(hidden, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the weighted `x`."""
        weighed: Tensor = x * self.gate(x.mean(dim=-1, keepdim=True))
        return weighed


class InvertedResidual(nn.Module):
    """Widen, filter each channel, narrow; add the input where shapes allow (MobileNetV2)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int,
        expansion: int,
        activation: type[nn.Module],
        squeeze_excite: bool = False,
    ) -> None:
        super().__init__()
        wide = inputs * expansion
        gate = SqueezeExcite(wide, hidden=max(1, inputs // 4))
        self.layers = nn.Sequential(
            convolution(inputs, wide, 1, activation=activation),
            convolution(wide, wide, kernel, stride=stride, groups=wide, activation=activation),
            *([gate] if squeeze_excite else []),
            convolution(wide, outputs, 1, activation=None),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Return [batch, outputs, ceil(time / stride)]."""
        y: Tensor = self.layers(x)
        return x + y if self.residual else y


class ResidualBlock(nn.Module):
    """Two convolutions with a shortcut (He et al., 2016)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            convolution(inputs, outputs, kernel, stride=stride, activation=nn.ReLU),
            convolution(outputs, outputs, kernel, activation=None),
        )
        same = stride == 1 and inputs == outputs
        self.shortcut = (
            nn.Identity() if same else convolution(inputs, outputs, 1, stride=stride, activation=None)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return [batch, outputs, ceil(time / stride)]."""
        return torch.relu(self.layers(x) + self.shortcut(x))


class MeanPool(nn.Module):
    """Average over time: [batch, channels, time] -> [batch, channels]."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean of each channel."""
        return x.mean(dim=-1)


class MeanStdPool(nn.Module):
    """Join the mean and the standard deviation over time: [batch, channels, time] -> [batch, 2 * channels].

    (Statistics pooling: Snyder et al., X-Vectors, 2018.)
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean of each channel, then the standard deviation of each."""
        if x.requires_grad:
            joined: Tensor = _MeanStdOverTime.apply(x)  # type: ignore[no-untyped-call]
            return joined
        mean, _, variance = _moments(x)
        return torch.cat([mean, variance.sqrt()], dim=1).flatten(1)


class _MeanStdOverTime(torch.autograd.Function):
    """`MeanStdPool` while training, with its gradient in one operation and in the layout of its input.

    PyTorch's own gradient is stored time last, and a TCN's shortcuts hand that layout to all its blocks:
    with 15 KB of weights it trained 1.7 times as long.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Return [batch, 2 * channels] of [batch, channels, time]."""
        mean, centred, variance = _moments(x)
        std = (variance + TINY).sqrt()  # the gradient of a square root at 0 is infinite
        ctx.save_for_backward(centred, std)
        return torch.cat([mean, std], dim=1).flatten(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Return the gradient [batch, channels, time] of x; that of std is (x - mean) / (time * std)."""
        centred, std = ctx.saved_tensors
        of_mean, of_std = (gradient.unsqueeze(-1) / centred.shape[-1]).chunk(2, dim=1)
        return torch.addcmul(of_mean, centred, of_std / std)


def _moments(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the mean over time, what is left of x without it, and the variance."""
    mean = x.mean(dim=-1, keepdim=True)
    centred = x - mean
    return mean, centred, (centred * centred).mean(dim=-1, keepdim=True)


def pooled_classifier(channels: int, dropout: float) -> list[nn.Module]:
    """Return the last layers: [batch, channels, time] -> logits [batch, 2]."""
    return [MeanStdPool(), Dropout(dropout), nn.Linear(2 * channels, 2)]
