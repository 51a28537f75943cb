"""The ONNX size of a configuration, known before training."""

from dataclasses import replace
from functools import lru_cache

from torch import nn

from atml.ecg import CLASSES, SAMPLING_RATE_HZ
from atml.export import OnnxMetadata, quantize_weights, to_onnx
from atml.models import count_parameters
from atml.tuning.proposal import Proposal


def onnx_metadata(proposal: Proposal, *, threshold: float = 0.5) -> OnnxMetadata:
    """Return the metadata of a trial's model file."""
    return OnnxMetadata(
        sampling_rate_hz=SAMPLING_RATE_HZ,
        classes=CLASSES,
        threshold=threshold,
        architecture=proposal.architecture.name,
    )


def size_before_training(proposal: Proposal, segment_length: int) -> tuple[int, int]:
    """Return (ONNX bytes, parameters) of a proposal, exactly as they will be after training.

    The size depends only on the configuration, not on weights, learning rate or threshold, so an
    untrained network is exported and measured, and the result is cached.
    """
    return _size(replace(proposal, learning_rate=1.0), segment_length)


def int8_bytes_before_training(proposal: Proposal, segment_length: int) -> int:
    """Return the bytes of a proposal's file with INT8 weights, exactly as they will be after training."""
    return _int8_bytes(replace(proposal, learning_rate=1.0), segment_length)


@lru_cache(maxsize=4096)
def _size(proposal: Proposal, segment_length: int) -> tuple[int, int]:
    network, model = _untrained(proposal, segment_length)
    return len(model), count_parameters(network)


@lru_cache(maxsize=4096)
def _int8_bytes(proposal: Proposal, segment_length: int) -> int:
    return len(quantize_weights(_untrained(proposal, segment_length)[1]))


def _untrained(proposal: Proposal, segment_length: int) -> tuple[nn.Module, bytes]:
    network = proposal.build(segment_length, seed=0)
    model = to_onnx(network, segment_length=segment_length, metadata=onnx_metadata(proposal))
    return network, model
