"""The candidate networks: each file defines one architecture's config, widths and builder."""

import difflib

from atml.errors import ModelError
from atml.models.afnet import AFNET
from atml.models.architecture import Architecture, Config, count_parameters, width
from atml.models.conv_gru import CONV_GRU
from atml.models.conv_mixer import CONV_MIXER
from atml.models.custom_model import CUSTOM_MODEL
from atml.models.dscnn import DSCNN
from atml.models.efficientnet import EFFICIENTNET
from atml.models.linear import LINEAR
from atml.models.mobilenet import MOBILENET
from atml.models.optimized_afnet import OPTIMIZED_AFNET
from atml.models.registry import Registry
from atml.models.resnet1d import RESNET1D
from atml.models.shufflenet_v2 import SHUFFLENET_V2
from atml.models.simple_cnn import SIMPLE_CNN
from atml.models.simple_resnet import SIMPLE_RESNET
from atml.models.tcn import TCN
from atml.models.tiny_cnn import TINY_CNN

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "Config",
    "count_parameters",
    "get_architecture",
    "width",
]

# The original's candidates first, then the added ones.
ARCHITECTURES = Registry(
    (
        AFNET,
        SHUFFLENET_V2,
        OPTIMIZED_AFNET,
        SIMPLE_CNN,
        SIMPLE_RESNET,
        RESNET1D,
        MOBILENET,
        EFFICIENTNET,
        CUSTOM_MODEL,
        LINEAR,
        CONV_GRU,
        DSCNN,
        TCN,
        CONV_MIXER,
        TINY_CNN,
    )
)


def get_architecture(name: str) -> Architecture:
    """Return the architecture of that name, or raise ModelError with the nearest name."""
    try:
        return ARCHITECTURES[name]
    except KeyError:
        near = difflib.get_close_matches(name, ARCHITECTURES, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ModelError(
            f"There is no architecture {name!r}: {hint}choose one of {', '.join(ARCHITECTURES)}."
        ) from None
