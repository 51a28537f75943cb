"""Options that are more than a number or a name."""

import pytest
import typer

from atml.cli.options import in_bytes


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, None),
        ("4KB", (4000,)),
        ("2kb, 4 KB,2.5KB", (2000, 4000, 2500)),
        ("4466,8000B", (4466, 8000)),
    ],
)
def test_sizes_are_bytes_or_kilobytes(text, found):
    assert in_bytes(text) == found


@pytest.mark.parametrize("text", ["", "4KB,", "0", "-4KB", "4MB", "many", "1" * 5000, "0.0001KB", "4KB;8KB"])
def test_what_is_not_a_size_is_refused_with_an_example(text):
    with pytest.raises(typer.BadParameter, match="such as 2KB,4KB"):
        in_bytes(text)
