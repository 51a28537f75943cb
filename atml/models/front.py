"""The first layer of every network: it removes the offset and the gain of a segment."""

from torch import Tensor, nn
from torch.nn import functional

from atml.models.layout import is_plain_cpu

# In standard deviations of the segment; an R wave is at 3 to 5.
CLIP = 4.0


class SegmentNorm(nn.Module):
    """Scale each segment [batch, 1, time] to mean 0 and variance 1.

    The gain of a wearable is not that of the training data. The signal is clipped and scaled a second time,
    so that one large spike does not make the rest of it small. A flat line becomes 0.

    The unit may be mV, µV or a converter's counts, but not V: the variance is increased by 1e-5, so with a
    standard deviation below about .01 only larger spikes are clipped, and one below about 1e-5 stays small.
    """

    def forward(self, ecg: Tensor) -> Tensor:
        """Return the scaled segments."""
        return _normalised(_normalised(ecg).clamp(-CLIP, CLIP))


def _normalised(ecg: Tensor) -> Tensor:
    if is_plain_cpu(ecg):  # the same for one channel, and three times as fast there
        return functional.layer_norm(ecg, ecg.shape[-1:])
    return functional.instance_norm(ecg)
