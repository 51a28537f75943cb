"""The size of a configuration and what it needs on a device, known before training."""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Literal

from atml.ecg import CLASSES, SAMPLING_RATE_HZ
from atml.export import OnnxMetadata, quantize_weights, to_onnx
from atml.export.c import Footprint, flash_bytes, footprint
from atml.models import count_parameters
from atml.tuning.proposal import Proposal

# What is measured: the file model.onnx or model.int8.onnx, or the flash of the INT8 model's C code.
SizeOf = Literal["onnx", "int8", "flash"]
SIZE_NAMES: Mapping[SizeOf, str] = {"onnx": "ONNX", "int8": "INT8", "flash": "flash"}
# Of an untrained network. At .5 the logits are compared with 0, which takes 8 to 12 bytes of flash less
# than any other number; files store four decimals of every threshold.
_UNTRAINED_THRESHOLD = 0.2


def onnx_metadata(proposal: Proposal, *, threshold: float = 0.5) -> OnnxMetadata:
    """Return the metadata of a trial's model file."""
    return OnnxMetadata(
        sampling_rate_hz=SAMPLING_RATE_HZ,
        classes=CLASSES,
        threshold=threshold,
        architecture=proposal.architecture.name,
    )


def size_before_training(
    proposal: Proposal, segment_length: int, size_of: SizeOf = "onnx"
) -> tuple[int, int]:
    """Return (bytes, parameters) of a proposal, exactly as they will be after training.

    The bytes are those of `model.onnx`, with "int8" of `model.int8.onnx`, and with "flash" those that the
    INT8 model's C code takes on a Cortex-M4F.

    The size depends only on the configuration, not on weights, learning rate or threshold, so an
    untrained network is exported and measured, and the result is cached.

    Raises:
        ModelError: flash is to be measured, but the compiler is missing or no C code can be generated.
    """
    return _size(replace(proposal, learning_rate=1.0), segment_length, size_of)


@lru_cache(maxsize=4096)
def _size(proposal: Proposal, segment_length: int, size_of: SizeOf) -> tuple[int, int]:
    model, parameters = _untrained(proposal, segment_length)
    counted = model if size_of == "onnx" else quantize_weights(model)
    return flash_bytes(counted) if size_of == "flash" else len(counted), parameters


@lru_cache(maxsize=256)
def _untrained(proposal: Proposal, segment_length: int) -> tuple[bytes, int]:
    """Return the model file of an untrained network, and its number of parameters."""
    network = proposal.build(segment_length, seed=0)
    metadata = onnx_metadata(proposal, threshold=_UNTRAINED_THRESHOLD)
    model = to_onnx(network, segment_length=segment_length, metadata=metadata)
    return model, count_parameters(network)


def footprint_before_training(
    proposal: Proposal, segment_length: int, *, flash: bool = False, instructions: bool = False
) -> Footprint:
    """Return what the C code of a proposal's INT8 model needs, exactly as it will be after training.

    `flash` and `instructions` are measured only if asked for, which takes up to a second.

    Raises:
        ModelError: a tool to measure with is missing, or no C code can be generated.
    """
    model, _ = _untrained(replace(proposal, learning_rate=1.0), segment_length)
    return footprint(quantize_weights(model), flash=flash, instructions=instructions)
