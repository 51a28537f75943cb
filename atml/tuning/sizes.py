"""The ONNX size of a configuration, known before training."""

from dataclasses import replace
from functools import lru_cache
from typing import Literal

from atml.ecg import CLASSES, SAMPLING_RATE_HZ
from atml.export import OnnxMetadata, quantize_weights, to_onnx
from atml.models import count_parameters
from atml.tuning.proposal import Proposal

SizeOf = Literal["onnx", "int8"]  # which of a bundle's files is measured: model.onnx or model.int8.onnx


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
    """Return (ONNX bytes, parameters) of a proposal, exactly as they will be after training.

    The bytes are those of `model.onnx`, or with "int8" of `model.int8.onnx`.

    The size depends only on the configuration, not on weights, learning rate or threshold, so an
    untrained network is exported and measured, and the result is cached.
    """
    return _size(replace(proposal, learning_rate=1.0), segment_length, size_of)


@lru_cache(maxsize=4096)
def _size(proposal: Proposal, segment_length: int, size_of: SizeOf) -> tuple[int, int]:
    network = proposal.build(segment_length, seed=0)
    model = to_onnx(network, segment_length=segment_length, metadata=onnx_metadata(proposal))
    counted = quantize_weights(model) if size_of == "int8" else model
    return len(counted), count_parameters(network)
