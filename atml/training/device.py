"""Where to train."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from atml.errors import AtmlError


def choose_device(requested: str = "auto") -> torch.device:
    """Return the device for "auto" (a GPU if there is one), "cpu", "cuda" or "cuda:1".

    Raises AtmlError when it is none of these, or when this machine does not have it.
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
            f"device {requested!r} was asked for, but PyTorch sees {present} CUDA devices here; "
            "use 'auto' or 'cpu', or install a PyTorch build with CUDA."
        )
    return torch.device("cuda", index)


def spread_over_devices(requested: str, workers: int) -> list[str]:
    """Return the device of each of several workers: "auto" and "cuda" deal them out over all GPUs.

    Raises AtmlError as `choose_device` does.
    """
    first = choose_device(requested)
    if first.type != "cuda" or requested not in ("auto", "cuda"):
        return [str(first)] * workers
    return [f"cuda:{index % torch.cuda.device_count()}" for index in range(workers)]


def describe_device(device: torch.device) -> str:
    """Return a line for people: "cuda:0 NVIDIA A100" or "cpu, 1 thread"."""
    if device.type == "cuda":
        return f"{device} {torch.cuda.get_device_name(device)}"
    threads = torch.get_num_threads()
    return f"{device}, {threads} thread{'' if threads == 1 else 's'}"


@contextmanager
def without_denormals() -> Iterator[None]:
    """Flush denormal numbers to zero in this thread: they are slow, and training makes many.

    Only for as long as needed, since NumPy warns where they are missing.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
