"""Small directories of real files to read, damage and read again."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

LENGTH = 50

Writer = Callable[..., Path]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    """Write a segment file: ``write("S1-N-0.txt", "1\\n2\\n")``; sound content unless given."""
    directory = tmp_path / "segments"
    directory.mkdir()
    random = np.random.default_rng(0)

    def write_segment(name: str, content: str | bytes | None = None, length: int = LENGTH) -> Path:
        if content is None:
            content = "".join(f"{value:.7f}\n" for value in random.uniform(-1, 1, length))
        path = directory / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_segment


@pytest.fixture
def directory(write: Writer) -> Path:
    """Twelve sound segments of three subjects, an empty rhythm among them."""
    for subject in range(3):
        for index in range(2):
            write(f"S{subject}-AFIB-{index}.txt")
        write(f"S{subject}-N-0.txt")
        write(f"S{subject}--0.txt")
    return write("S0-N-0.txt").parent
