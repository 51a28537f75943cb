"""Saving a PyTorch model with everything needed to rebuild it, and loading it safely."""

import dataclasses
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from atml.errors import ModelError
from atml.export.metadata import OnnxMetadata
from atml.files import read_file, whole

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A saved model; `models.get_architecture(checkpoint.metadata.architecture)` can rebuild its module."""

    config: dict[str, int | float]  # the fields of the architecture's config
    segment_length: int
    state_dict: dict[str, Tensor]  # on the CPU
    metadata: OnnxMetadata  # with the threshold at full precision


def save_checkpoint(
    path: Path,
    state_dict: Mapping[str, Tensor],
    *,
    config: Mapping[str, int | float],
    segment_length: int,
    metadata: OnnxMetadata,
) -> None:
    """Write the weights of a module, completely or not at all.

    `torch.load(path, weights_only=True)` reads it: a dict of tensors, strings and numbers.

    Raises:
        OSError: the file cannot be written.
    """
    content = {
        "format": FORMAT,
        "config": dict(config),
        "segment_length": segment_length,
        "state_dict": {name: tensor.detach().cpu() for name, tensor in state_dict.items()},
        "metadata": {**dataclasses.asdict(metadata), "classes": list(metadata.classes)},
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with whole(path) as file:
        file.write(buffer.getvalue())


def load_checkpoint(path: Path) -> Checkpoint:
    """Read what `save_checkpoint` wrote; raise ModelError for anything else."""
    content = _content(path)
    try:
        if content["format"] != FORMAT:
            raise ModelError(f"{path} has checkpoint format {content['format']!r}; this ATML reads {FORMAT}.")
        metadata = dict(content["metadata"])
        return Checkpoint(
            config=dict(content["config"]),
            segment_length=content["segment_length"],
            state_dict=dict(content["state_dict"]),
            metadata=OnnxMetadata(**{**metadata, "classes": tuple(metadata["classes"])}),
        )
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise ModelError(f"{path} is not a checkpoint of ATML: it lacks {error}.") from error


def _content(path: Path) -> Any:
    try:
        file = io.BytesIO(read_file(path))
        # torch.save writes zip files; for anything else torch.load would try older formats.
        if zipfile.is_zipfile(file):
            file.seek(0)
            return torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}.") from error
    except Exception as error:  # damaged bytes raise whatever its unpickler meets first
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ModelError(f"{path} is not a checkpoint of ATML: {reason}") from error
    raise ModelError(f"{path} is not a checkpoint of ATML.")
