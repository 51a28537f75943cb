"""Devices to train on."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from atml.errors import AtmlError


def choose_device(requested: str = "auto") -> torch.device:
    """Return the device for "auto" (a GPU if there is one), "cpu", "cuda" or "cuda:1".

    Raises AtmlError for any other value and for a device that this machine does not have.
    """
    if requested == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    if requested == "cpu":
        return torch.device("cpu")
    kind, _, number = requested.partition(":")
    if kind != "cuda" or not (number.isdecimal() or requested == "cuda"):
        raise AtmlError(f"device must be auto, cpu, cuda or cuda:<number>, but got {requested!r}.")
    index = int(number or 0)
    present = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if index >= present:
        raise AtmlError(
            f"device {requested!r} was requested, but PyTorch sees {present} CUDA devices here; "
            "use 'auto' or 'cpu', or install a PyTorch build with CUDA."
        )
    return torch.device("cuda", index)


def spread_over_devices(requested: str, workers: int) -> list[str]:
    """Return the device of each worker; "auto" and "cuda" distribute the workers over all GPUs.

    Raises AtmlError as `choose_device` does.
    """
    first = choose_device(requested)
    if first.type != "cuda" or requested not in ("auto", "cuda"):
        return [str(first)] * workers
    return [f"cuda:{index % torch.cuda.device_count()}" for index in range(workers)]


def describe_device(device: torch.device) -> str:
    """Return a description such as "cuda:0 NVIDIA A100" or "cpu"."""
    return f"{device} {torch.cuda.get_device_name(device)}" if device.type == "cuda" else str(device)


@contextmanager
def without_denormals() -> Iterator[None]:
    """Flush denormal numbers to zero in this thread: they are slow, and training produces many.

    It is limited to training, since NumPy warns when they are missing.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
