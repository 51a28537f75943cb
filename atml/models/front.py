"""The first layer of every network: it removes offset, gain and polarity from a segment."""

import torch
from torch import Tensor, nn
from torch.nn import functional

# In units of the segment's standard deviation; an R wave is at 3 to 5.
CLIP = 4.0
# Below the variance of any signal in mV, µV, counts or shares of the range; a flat line stays 0.
EPSILON = 1e-8


class SegmentNorm(nn.Module):
    """Scale each segment [batch, 1, time] to mean 0 and variance 1, and turn it upright.

    A wearable's gain and polarity are not those of the training data. The signal is clipped and
    scaled a second time, so that one large spike does not make the rest of it small. Upright means a
    positive third moment, since the QRS complex is the largest wave. A flat line becomes 0.
    """

    def forward(self, ecg: Tensor) -> Tensor:
        """Return the segments, normalised."""
        scaled = functional.instance_norm(ecg, eps=EPSILON)
        scaled = functional.instance_norm(scaled.clamp(-CLIP, CLIP), eps=EPSILON)
        upright: Tensor = scaled * torch.sign((scaled * scaled * scaled).mean(dim=-1, keepdim=True))
        return upright
