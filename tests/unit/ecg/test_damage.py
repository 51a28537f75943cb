"""Each kind of damage is named with file and line, and with what to do."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from atml.ecg import check_directory, load_dataset

Writer = Callable[..., Path]

CONTENT = {
    "truncated": ("0.5\n" * 20, 20, "ends after 20 numbers, the other segments hold 50"),
    "cut within a number": ("0.5\n" * 20 + "-", 21, "expected a number but got '-'"),
    "too long": ("0.5\n" * 51, 51, "goes on to 51 numbers, the other segments hold 50"),
    "text": ("0.5\n" * 20 + "abc\n" + "0.5\n" * 29, 21, "expected a number but got 'abc'"),
    "long text": ("x" * 10_000, 1, "…"),
    "two columns": ("0 0.5\n" * 50, 1, "expected a number but got '0 0.5'"),
    "decimal comma": ("0,5\n" * 50, 1, "expected a number but got '0,5'"),
    "python number": ("1_0\n" * 50, 1, "expected a number but got '1_0'"),
    "nan": ("0.5\n" * 3 + "NaN\n" + "0.5\n" * 46, 4, "expected a finite number but got NaN"),
    "infinite": ("0.5\n" * 49 + "-inf\n", 50, "expected a finite number but got -inf"),
    "beyond float32": ("1e300\n" * 50, 1, "expected a number that fits 32 bits but got 1e300"),
    "empty": ("", 1, "the file is empty"),
    "blank": ("\n \n", 1, "the file is empty"),
    "blank line within": ("0.5\n\n" * 25, 2, "expected a number but got an empty line"),
    "binary": (bytes(range(256)) * 4, 1, "expected a number but got binary data"),
    "zeros": (b"\0" * 500, 1, "expected a number but got binary data"),
    "other encoding": ("0.5\n".encode("utf-16") * 50, 2, "expected a number but got binary data"),
}


@pytest.mark.parametrize("kind", CONTENT)
def test_damaged_content_is_named_with_file_and_line(
    kind: str, directory: Path, write: Writer, cache: Path
) -> None:
    content, line, text = CONTENT[kind]
    write("S8-N-3.txt", content)
    (problem,) = check_directory(directory, cache_dir=cache).problems
    assert str(problem).startswith(f"S8-N-3.txt:{line}: ")
    assert text in str(problem)
    assert "fetch or write the file again, or remove it" in str(problem)
    assert len(str(problem)) < 200


@pytest.mark.parametrize(
    "name",
    ["notes.txt", "S8-N.txt", "S8-N-0.csv", "S8-AFIB-0.txt.gz", "S8-N-0 (copy).txt", "S8-afib-0.txt"],
)
def test_misnamed_file_is_named(name: str, directory: Path, write: Writer, cache: Path) -> None:
    write(name)
    (problem,) = check_directory(directory, cache_dir=cache).problems
    assert problem.file == name
    assert "rename" in problem.text


def test_file_name_with_control_characters_is_shown_harmless(
    directory: Path, write: Writer, cache: Path
) -> None:
    write("S8-N-0\x1b[2J\n.txt")
    (problem,) = check_directory(directory, cache_dir=cache).problems
    assert str(problem).isprintable()


def test_file_name_that_is_no_unicode_is_named(directory: Path, cache: Path) -> None:
    Path(os.fsdecode(os.fsencode(directory) + b"/S8-N-\xff.txt")).write_text("1\n")
    for _ in range(2):
        (problem,) = check_directory(directory, cache_dir=cache).problems
        assert str(problem).isascii()


def test_directory_in_place_of_a_segment_is_named(directory: Path, cache: Path) -> None:
    (directory / "S8-N-0.txt").mkdir()
    (problem,) = check_directory(directory, cache_dir=cache).problems
    assert str(problem) == "S8-N-0.txt: not a regular file; fetch or write the file again, or remove it"


def test_pipe_in_place_of_a_segment_is_named_and_not_waited_for(directory: Path, cache: Path) -> None:
    os.mkfifo(directory / "S8-N-0.txt")
    (problem,) = check_directory(directory, cache_dir=cache).problems
    assert "not a regular file" in problem.text


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be with mark"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_text_of_other_systems_is_read(encoding: str, newline: str, directory: Path, cache: Path) -> None:
    text = newline.join(["0.5", "-0.25"] * 25)
    content = ("\ufeff" + text).encode("utf-16-be") if "mark" in encoding else text.encode(encoding)
    (directory / "S8-N-0.txt").write_bytes(content)
    assert check_directory(directory, cache_dir=cache).problems == ()
    dataset = load_dataset(directory, cache_dir=cache)
    (at,) = np.flatnonzero(dataset.subjects == "S8")
    np.testing.assert_array_equal(dataset.samples(np.array([at]))[0], [0.5, -0.25] * 25)


def test_huge_file_is_named_and_not_read(directory: Path, cache: Path) -> None:
    with (directory / "S8-N-0.txt").open("wb") as file:
        file.truncate(2**40)
    (problem,) = check_directory(directory, cache_dir=cache).problems
    assert "has 1,099,511,627,776 bytes, more than 8,388,608; fetch or write" in problem.text


def test_dangling_link_is_named_until_its_target_appears(directory: Path, cache: Path) -> None:
    target = directory.parent / "elsewhere.txt"
    (directory / "S8-N-0.txt").symlink_to(target)
    (problem,) = check_directory(directory, cache_dir=cache).problems
    assert problem.text == "cannot be read: there is no such file or folder; check the path"
    shutil.copy(directory / "S0-N-0.txt", target)
    assert check_directory(directory, cache_dir=cache).problems == ()


def test_all_problems_are_listed_and_the_second_check_says_the_same(
    directory: Path, write: Writer, cache: Path
) -> None:
    for index, (content, _, _) in enumerate(CONTENT.values()):
        write(f"S8-N-{index:02d}.txt", content)
    first = check_directory(directory, cache_dir=cache)
    assert [problem.file for problem in first.problems] == sorted(
        f"S8-N-{index:02d}.txt" for index in range(len(CONTENT))
    )
    assert first.segments == 12
    assert check_directory(directory, cache_dir=cache) == first


CHECK_AS_NOBODY = """
import json, os, sys
from pathlib import Path
from atml.ecg import check_directory
from atml.errors import AtmlError
directory, cache, sound, root_cache = map(Path, sys.argv[1:])
# The interpreter may lie where nobody can read: what is imported late is imported now.
check_directory(sound, cache_dir=root_cache)
os.setgid(65534); os.setuid(65534)
try:
    report = check_directory(directory, cache_dir=cache)
    print(json.dumps([str(problem) for problem in report.problems]))
except AtmlError as error:
    print(json.dumps(str(error)))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
class TestPermissions:
    @pytest.fixture
    def directory(self, directory: Path) -> Iterator[Path]:
        """The segments where others may go; pytest's own directories are for their owner alone."""
        with tempfile.TemporaryDirectory() as place:
            Path(place).chmod(0o755)
            yield Path(shutil.copytree(directory, Path(place) / "segments"))

    @pytest.fixture
    def cache(self, directory: Path) -> Path:
        cache = directory.parent / "cache"
        cache.mkdir()
        cache.chmod(0o777)
        return cache

    @pytest.fixture
    def check(self, directory: Path, cache: Path, write: Writer) -> Callable[[], object]:
        sound = write("S0-N-0.txt").parent

        def check_as_nobody() -> object:
            places = (directory, cache, sound, sound.parent / "cache of root")
            done = subprocess.run(
                [sys.executable, "-c", CHECK_AS_NOBODY, *map(str, places)],
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout)

        return check_as_nobody

    def test_unreadable_file_is_named_until_it_can_be_read(
        self, directory: Path, check: Callable[[], object]
    ) -> None:
        secret = directory / "S0-N-0.txt"
        secret.chmod(0o000)
        refused = ["S0-N-0.txt: cannot be read: permission denied; grant access"]
        assert check() == refused
        assert check() == refused
        secret.chmod(0o644)  # neither size nor modification time change
        assert check() == []

    def test_unreadable_directory_is_named(self, directory: Path, check: Callable[[], object]) -> None:
        directory.chmod(0o000)
        message = check()
        assert message == (f"{directory} cannot be listed: Permission denied; check its permissions.")

    def test_cache_that_cannot_be_written_names_the_way_out(
        self, cache: Path, check: Callable[[], object]
    ) -> None:
        cache.chmod(0o555)
        message = check()
        assert f"cannot write the segment cache {cache}: permission denied" in str(message)
        assert "ATML_CACHE" in str(message)
