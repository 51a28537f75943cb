import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from atml.ecg import Dataset, load_dataset
from atml.ecg.cache import default_cache_dir
from atml.errors import CannotWrite

Writer = Callable[..., Path]


def files_of(cache: Path) -> list[Path]:
    return sorted(path for path in cache.rglob("*") if path.is_file())


def load(directory: Path, cache: Path) -> tuple[Dataset, bool]:
    """The dataset, and whether text was parsed for it."""
    parsed: list[int] = []
    dataset = load_dataset(directory, cache_dir=cache, progress=lambda done, total: parsed.append(done))
    return dataset, bool(parsed)


class TestHit:
    def test_text_is_parsed_once(self, directory: Path, cache: Path) -> None:
        first, parsed_first = load(directory, cache)
        second, parsed_second = load(directory, cache)
        assert (parsed_first, parsed_second) == (True, False)
        np.testing.assert_array_equal(first.samples(), second.samples())
        assert first.fingerprint == second.fingerprint

    def test_the_same_directory_by_another_path_is_the_same_entry(self, directory: Path, cache: Path) -> None:
        load(directory, cache)
        (directory.parent / "link").symlink_to(directory)
        assert load(directory.parent / "link", cache)[1] is False

    def test_file_that_was_ignored_does_not_matter(self, directory: Path, cache: Path) -> None:
        load(directory, cache)
        (directory / "README.md").write_text("notes")
        assert load(directory, cache)[1] is False


class TestChange:
    def test_changed_content_is_noticed(self, directory: Path, cache: Path) -> None:
        before, _ = load(directory, cache)
        path = directory / "S0-N-0.txt"
        path.write_text(path.read_text().replace(".", ".0"))
        after, parsed = load(directory, cache)
        assert parsed
        assert after.fingerprint != before.fingerprint

    def test_changed_time_alone_is_noticed(self, directory: Path, cache: Path) -> None:
        load(directory, cache)
        os.utime(directory / "S0-N-0.txt", ns=(0, 1))
        assert load(directory, cache)[1]

    def test_added_and_removed_files_are_noticed(self, directory: Path, cache: Path) -> None:
        load(directory, cache)
        (directory / "S0-N-0.txt").rename(directory / "S9-N-0.txt")
        dataset, parsed = load(directory, cache)
        assert parsed
        assert "S9" in dataset.subjects

    def test_old_entry_is_replaced_and_the_cache_does_not_grow(self, directory: Path, cache: Path) -> None:
        for time_ns in range(3):
            os.utime(directory / "S0-N-0.txt", ns=(0, time_ns))
            load(directory, cache)
            assert len(files_of(cache)) == 2

    def test_running_process_keeps_what_it_mapped(self, directory: Path, cache: Path) -> None:
        before, _ = load(directory, cache)
        samples = before.samples()
        for path in directory.iterdir():
            path.write_text("0\n" * 50)
        after, _ = load(directory, cache)
        np.testing.assert_array_equal(before.samples(), samples)
        assert not after.samples().any()


class TestDamage:
    @pytest.mark.parametrize("suffix", [".json", ".f32"])
    @pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff\0", b"null"])
    def test_broken_file_is_rebuilt(self, directory: Path, cache: Path, suffix: str, content: bytes) -> None:
        sound, _ = load(directory, cache)
        samples = sound.samples()
        (broken,) = (path for path in files_of(cache) if path.suffix == suffix)
        broken.unlink()  # the old file stays mapped
        broken.write_bytes(content)
        dataset, parsed = load(directory, cache)
        assert parsed
        np.testing.assert_array_equal(dataset.samples(), samples)

    def test_samples_that_were_written_to_later_are_rebuilt(self, directory: Path, cache: Path) -> None:
        sound, _ = load(directory, cache)
        samples = sound.samples()
        (path,) = (path for path in files_of(cache) if path.suffix == ".f32")
        path.write_bytes(bytes(path.stat().st_size))
        os.utime(path)  # the clock of a file system may be too coarse to tell
        dataset, parsed = load(directory, cache)
        assert parsed
        np.testing.assert_array_equal(dataset.samples(), samples)
        assert not load(directory, cache)[1]

    @pytest.mark.parametrize("suffix", [".json", ".f32"])
    def test_missing_file_is_rebuilt(self, directory: Path, cache: Path, suffix: str) -> None:
        load(directory, cache)
        (missing,) = (path for path in files_of(cache) if path.suffix == suffix)
        missing.unlink()
        assert load(directory, cache)[1]
        assert len(files_of(cache)) == 2

    @pytest.mark.parametrize("field", ["names", "length", "written_ns", "problems", "fingerprint"])
    def test_index_of_another_version_is_rebuilt(self, directory: Path, cache: Path, field: str) -> None:
        load(directory, cache)
        (index,) = (path for path in files_of(cache) if path.suffix == ".json")
        fields = json.loads(index.read_text())
        fields[field] = 99
        index.write_text(json.dumps(fields))
        assert load(directory, cache)[1]

    def test_leftover_of_a_killed_process_is_removed_after_an_hour(
        self, directory: Path, cache: Path
    ) -> None:
        load(directory, cache)
        entry = files_of(cache)[0].parent
        old, young = entry / ".old.f32.0.tmp", entry / ".young.f32.0.tmp"
        old.write_text("")
        young.write_text("")
        os.utime(old, (0, 0))
        os.utime(directory / "S0-N-0.txt", ns=(0, 1))
        load(directory, cache)
        assert (old.exists(), young.exists()) == (False, True)


class TestPlace:
    def test_environment_names_the_place(
        self, directory: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ATML_CACHE", str(cache))
        load_dataset(directory)
        assert default_cache_dir() == cache
        assert len(files_of(cache)) == 2

    def test_without_environment_it_is_the_users_cache(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("ATML_CACHE", raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert default_cache_dir().name == "atml"

    def test_file_in_place_of_the_cache_names_the_way_out(self, directory: Path, cache: Path) -> None:
        cache.write_text("")
        with pytest.raises(CannotWrite, match=r"cannot write the segment cache .*ATML_CACHE"):
            load_dataset(directory, cache_dir=cache)


LOAD = """
import signal, sys
from pathlib import Path
from atml.ecg import load_dataset
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
dataset = load_dataset(Path(sys.argv[1]), cache_dir=Path(sys.argv[2]), workers=2)
print(dataset.fingerprint, float(abs(dataset.samples()).sum()))
"""


# Holds a parser back until a file is there, so that a test finds it however slow the machine is.
HOLD = """
import os, pathlib, sys, time
if any("serve()" in word for word in sys.orig_argv):
    while not pathlib.Path(os.environ["GO"]).exists():
        time.sleep(0.01)
"""


def start_loading(directory: Path, cache: Path, held_until: Path | None = None) -> "subprocess.Popen[str]":
    environment = dict(os.environ)
    if held_until is not None:
        customised = cache.with_name("customised")
        customised.mkdir()
        (customised / "sitecustomize.py").write_text(HOLD)
        paths = [str(customised), *filter(None, sys.path)]
        environment |= {"PYTHONPATH": os.pathsep.join(paths), "GO": str(held_until)}
    return subprocess.Popen(
        [sys.executable, "-c", LOAD, str(directory), str(cache)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def many(write: Writer) -> Path:
    """Enough files for parser processes to start and to take a while."""
    content = "0.25\n" * 600
    for index in range(4_000):
        path = write(f"S1-N-{index}.txt", content)
    return path.parent


class TestProcesses:
    def test_two_processes_that_build_at_once_both_succeed(self, many: Path, cache: Path) -> None:
        processes = [start_loading(many, cache) for _ in range(2)]
        outputs = [process.communicate(timeout=200) for process in processes]
        assert [process.returncode for process in processes] == [0, 0], outputs
        assert outputs[0][0] == outputs[1][0]
        assert len(files_of(cache)) == 2

    @pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
    def test_killed_build_leaves_no_process_and_no_half_entry(
        self, many: Path, cache: Path, tmp_path: Path, ending: signal.Signals
    ) -> None:
        process = start_loading(many, cache, held_until=tmp_path / "go")
        wait_until(lambda: len(parsers_of(many)) == 2 and bool(files_of(cache)))
        process.send_signal(ending)
        (tmp_path / "go").touch()
        process.communicate(timeout=200)
        assert process.returncode != 0
        wait_until(lambda: not parsers_of(many))
        left = files_of(cache)
        assert all(path.name.endswith(".tmp") for path in left)
        assert (left == []) == (ending == signal.SIGINT)
        assert load(many, cache)[1]

    def test_parser_that_dies_is_reported(self, many: Path, cache: Path, tmp_path: Path) -> None:
        process = start_loading(many, cache, held_until=tmp_path / "go")
        wait_until(lambda: len(parsers_of(many)) == 2)
        os.kill(int(parsers_of(many)[0]), signal.SIGKILL)
        (tmp_path / "go").touch()
        _, errors = process.communicate(timeout=200)
        assert process.returncode != 0
        assert "a process that read segments ended with status -9" in errors
        assert files_of(cache) == []


def parsers_of(directory: Path) -> list[str]:
    """Processes that parse this directory, as Linux lists them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes()
        except OSError:  # it has just ended
            continue
        if b"serve()" in command and os.fsencode(directory) in command:
            found.append(path.parent.name)
    return found


def wait_until(holds: Callable[[], bool], seconds: float = 200.0) -> None:
    due = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < due, "it never came to pass"
        time.sleep(0.005)
