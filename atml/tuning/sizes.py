"""The size of a configuration and what it needs on a device, known before training."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor, nn

from atml.ecg import CLASSES, SAMPLING_RATE_HZ
from atml.errors import AtmlError, ModelError
from atml.export import OnnxMetadata, check_parity, quantize_weights, to_onnx
from atml.export.c import Footprint, flash_bytes, footprint
from atml.models import count_parameters
from atml.tuning.proposal import Proposal
from atml.words import error_in_words

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


@lru_cache(maxsize=4096)
def size_before_training(
    proposal: Proposal, segment_length: int, *, size_of: SizeOf = "onnx"
) -> tuple[int, int]:
    """Return (bytes, parameters) of a proposal, exactly as they will be after training.

    The bytes are those of `model.onnx`, with "int8" of `model.int8.onnx`, and with "flash" those that the
    INT8 model's C code takes on a Cortex-M4F.

    The size depends only on the configuration, not on weights, learning rate or threshold, so an
    untrained network is exported and measured, and the result is cached.

    Raises:
        ModelError: the network cannot be built, exported or stored as INT8, or flash is to be measured, but
            the compiler is missing or no C code can be generated.
    """
    model, parameters = _untrained(proposal, segment_length)
    with telling(proposal, "stored as INT8"):
        counted = model if size_of == "onnx" else quantize_weights(model)
    return flash_bytes(counted) if size_of == "flash" else len(counted), parameters


@lru_cache(maxsize=256)
def _untrained(proposal: Proposal, segment_length: int) -> tuple[bytes, int]:
    """Return the model file of an untrained network, and its number of parameters."""
    network = proposal.build(segment_length, seed=0)
    metadata = onnx_metadata(proposal, threshold=_UNTRAINED_THRESHOLD)
    with telling(proposal, "exported"):
        model = to_onnx(network, segment_length=segment_length, metadata=metadata)
        return model, count_parameters(network)


def check_untrained(proposal: Proposal, segment_length: int) -> None:
    """Refuse a network whose output is not two logits for each segment, or whose file computes another.

    Without this, every trial of a plug-in would be trained on all folds before it fails.

    Raises:
        ModelError: names the network.
    """
    network = proposal.build(segment_length, seed=0).eval()
    with telling(proposal, "exported"), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        _as_if_trained(network)
        segments = torch.randn(2, 1, segment_length)
        with torch.no_grad():
            _check_logits(network(segments))
        check_parity(network, to_onnx(network, segment_length=segment_length), segments[:, 0].numpy())


def _as_if_trained(network: nn.Module) -> None:
    """Give BatchNorms statistics other than 0 and 1, with which they would do nothing."""
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_()
        elif name.endswith("running_var"):
            buffer.uniform_(0.3, 3)


def _check_logits(output: object) -> None:
    if not isinstance(output, Tensor) or output.shape != (2, 2):
        found = list(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ModelError(f"for two segments it must return logits [2, 2] but returns {found}")


@contextmanager
def telling(proposal: Proposal, what: str) -> Iterator[None]:
    """Say with every error which network cannot be `what`."""
    try:
        yield
    except Exception as error:  # a plug-in may raise anything
        reason = error if isinstance(error, AtmlError) else error_in_words(error)
        name = proposal.architecture.name
        raise ModelError(f"{name} cannot be {what} as {proposal.config!r}: {reason}") from error


def footprint_before_training(
    proposal: Proposal, segment_length: int, *, flash: bool = False, instructions: bool = False
) -> Footprint:
    """Return what the C code of a proposal's INT8 model needs, exactly as it will be after training.

    `flash` and `instructions` are measured only if asked for, which takes up to a second.

    Raises:
        ModelError: a tool to measure with is missing, or no C code can be generated.
    """
    model, _ = _untrained(proposal, segment_length)
    return footprint(quantize_weights(model), flash=flash, instructions=instructions)
