import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import atml.ecg
from atml.ecg import check_directory, grouped_folds, load_dataset, shared_subjects
from atml.errors import BadSegment, NoSegments

Writer = Callable[..., Path]
LENGTH = 50  # numbers in a file that `write` makes up


def test_every_public_name_exists() -> None:
    assert all(hasattr(atml.ecg, name) for name in atml.ecg.__all__)


class TestLoadDataset:
    def test_rows_follow_file_names_and_hold_what_the_files_hold(self, directory: Path, cache: Path) -> None:
        dataset = load_dataset(directory, cache_dir=cache)
        names = sorted(path.name for path in directory.iterdir())
        assert len(dataset) == len(names) == 12
        assert dataset.segment_length == LENGTH
        expected = np.stack([np.loadtxt(directory / name) for name in names])
        np.testing.assert_array_equal(dataset.samples(), expected.astype(np.float32))
        assert dataset.files == tuple(names)
        assert dataset.select(np.array([3, 1])).files == (names[3], names[1])
        assert dataset.labels.tolist() == [int("AFIB" in name) for name in names]
        assert dataset.subjects.tolist() == [name.split("-")[0] for name in names]
        assert dataset.rhythms.tolist() == [name.split("-")[1] for name in names]

    def test_samples_are_mapped_read_only(self, directory: Path, cache: Path) -> None:
        dataset = load_dataset(directory, cache_dir=cache)
        assert dataset.store.dtype == np.float32
        with pytest.raises(ValueError, match="read-only"):
            dataset.store[0, 0] = 1.0

    @pytest.mark.parametrize("ending", ["\r\n", "\n\n\n", "\n  \n"])
    def test_line_endings_of_other_systems_and_blank_last_lines_are_fine(
        self, write: Writer, cache: Path, ending: str
    ) -> None:
        separator = "\r\n" if "\r" in ending else "\n"
        path = write("S1-N-0.txt", separator.join(["1", " 2.5 ", "-3e-2"]) + ending)
        assert load_dataset(path.parent, cache_dir=cache).samples()[0].tolist() == pytest.approx(
            [1, 2.5, -0.03]
        )

    def test_length_is_what_most_files_hold(self, write: Writer, cache: Path) -> None:
        for index in range(5):
            write(f"S1-N-{index}.txt", length=30)
        short = write("S0-N-0.txt", length=20)
        dataset = load_dataset(short.parent, cache_dir=cache, skip_bad=True)
        assert (dataset.segment_length, len(dataset), dataset.skipped) == (30, 5, 1)

    def test_length_is_known_even_when_no_file_of_the_sample_is_sound(
        self, write: Writer, cache: Path
    ) -> None:
        # 203 files: every third is looked at for the length.
        for index in range(203):
            path = write(f"S1-N-{index:03d}.txt", "x" if index % 3 == 0 else None, length=5)
        dataset = load_dataset(path.parent, cache_dir=cache, skip_bad=True)
        assert (dataset.segment_length, len(dataset), dataset.skipped) == (5, 135, 68)
        np.testing.assert_allclose(dataset.samples()[0], np.loadtxt(path.parent / "S1-N-001.txt"), rtol=1e-6)

    def test_broken_directory_is_refused_naming_the_first_files_and_the_count(
        self, directory: Path, cache: Path
    ) -> None:
        for index in range(5):
            (directory / f"S7-N-{index}.txt").write_text("1\ntwo\n")
        with pytest.raises(BadSegment) as caught:
            load_dataset(directory, cache_dir=cache)
        message = str(caught.value)
        assert f"5 of 17 segments in {directory} cannot be used" in message
        assert "S7-N-0.txt:2: expected a number but got 'two'" in message
        assert "S7-N-3.txt" not in message
        assert "and 2 more" in message
        assert f"atml data check {directory}" in message
        assert "--skip-bad" in message

    def test_skipping_bad_files_leaves_the_others_and_counts_them(self, directory: Path, cache: Path) -> None:
        sound = load_dataset(directory, cache_dir=cache)
        (directory / "S1-N-9.txt").write_text("")
        dataset = load_dataset(directory, cache_dir=cache, skip_bad=True)
        assert (len(dataset), dataset.skipped) == (12, 1)
        assert dataset.fingerprint == sound.fingerprint

    def test_missing_directory_is_named(self, tmp_path: Path, cache: Path) -> None:
        with pytest.raises(NoSegments, match="nowhere does not exist"):
            load_dataset(tmp_path / "nowhere", cache_dir=cache)

    def test_file_in_place_of_a_directory_is_named(self, write: Writer, cache: Path) -> None:
        with pytest.raises(NoSegments, match=r"S1-N-0\.txt is a file"):
            load_dataset(write("S1-N-0.txt"), cache_dir=cache)

    def test_empty_directory_has_no_segments(self, tmp_path: Path, cache: Path) -> None:
        (tmp_path / "empty").mkdir()
        with pytest.raises(NoSegments, match="holds no segment"):
            load_dataset(tmp_path / "empty", cache_dir=cache)

    def test_directory_one_level_too_high_is_told_the_right_one(self, directory: Path, cache: Path) -> None:
        with pytest.raises(NoSegments, match=f"Did you mean {directory}"):
            load_dataset(directory.parent, cache_dir=cache)

    def test_nothing_usable_is_no_segments_even_when_skipping(self, write: Writer, cache: Path) -> None:
        path = write("S1-N-0.txt", "nothing")
        with pytest.raises(NoSegments, match="none of the 1 segments"):
            load_dataset(path.parent, cache_dir=cache, skip_bad=True)

    def test_parallel_and_serial_parsing_agree(self, write: Writer, cache: Path) -> None:
        for index in range(2_100):
            path = write(f"S{index % 7}-N-{index}.txt", length=5)
        (path.parent / "S1-N-1.txt").write_text("x")
        seen: list[tuple[int, int]] = []
        parallel = load_dataset(
            path.parent,
            cache_dir=cache / "a",
            workers=2,
            skip_bad=True,
            progress=lambda done, total: seen.append((done, total)),
        )
        serial = load_dataset(path.parent, cache_dir=cache / "b", workers=1, skip_bad=True)
        assert parallel.fingerprint == serial.fingerprint
        np.testing.assert_array_equal(parallel.samples(), serial.samples())
        assert parallel.skipped == serial.skipped == 1
        assert seen[-1] == (2_100, 2_100)
        assert seen == sorted(seen)


class TestView:
    def test_names_of_files_are_put_together_once(self, directory: Path, cache: Path) -> None:
        dataset = load_dataset(directory, cache_dir=cache)
        assert dataset.files is dataset.files

    def test_selecting_copies_no_samples(self, directory: Path, cache: Path) -> None:
        dataset = load_dataset(directory, cache_dir=cache)
        view = dataset.select(dataset.subjects == "S1").select(np.array([2, 0]))
        assert view.store is dataset.store
        assert view.rhythms.tolist() == ["AFIB", ""]
        np.testing.assert_array_equal(view.samples()[1], dataset.samples()[4])
        np.testing.assert_array_equal(view.samples(np.array([False, True])), view.samples()[1:])

    def test_fingerprint_of_known_segments_stays_what_it_was(self, write: Writer, cache: Path) -> None:
        for name, content in (("S1-N-0.txt", "1\n-0.5\n"), ("S2-AFIB-0.txt", "0.25\n2\n")):
            path = write(name, content)
        dataset = load_dataset(path.parent, cache_dir=cache)
        assert dataset.fingerprint == "c39d7f9328c43aae2afd610040ac839a544150ff1262731970f9d7de7d2ae222"

    def test_fingerprint_is_the_same_at_another_path(self, directory: Path, cache: Path) -> None:
        moved = directory.parent / "elsewhere"
        shutil.copytree(directory, moved)
        os.utime(moved / "S0-N-0.txt", (0, 0))
        one, other = (load_dataset(where, cache_dir=cache) for where in (directory, moved))
        assert one.fingerprint == other.fingerprint
        chosen = np.array([1, 3])
        assert one.select(chosen).fingerprint == other.select(chosen).fingerprint
        assert one.select(chosen).fingerprint != one.fingerprint

    @pytest.mark.parametrize("change", ["sample", "name", "missing"])
    def test_fingerprint_changes_with_the_segments(self, directory: Path, cache: Path, change: str) -> None:
        before = load_dataset(directory, cache_dir=cache).fingerprint
        path = directory / "S0-N-0.txt"
        if change == "sample":
            path.write_text("0.5\n" + path.read_text().split("\n", 1)[1])
        elif change == "name":
            path.rename(directory / "S0-SBR-0.txt")
        else:
            path.unlink()
        assert load_dataset(directory, cache_dir=cache).fingerprint != before


class TestCheckDirectory:
    def test_sound_directory_is_counted_by_subject_and_rhythm(self, directory: Path, cache: Path) -> None:
        report = check_directory(directory, cache_dir=cache)
        assert report.problems == ()
        assert report.segments == 12
        assert report.counts["S2"] == {"": 1, "AFIB": 2, "N": 1}

    def test_subjects_are_in_order_of_their_numbers(self, write: Writer, cache: Path) -> None:
        for subject in (10, 9, 100):
            path = write(f"S{subject}-N-0.txt")
        assert list(check_directory(path.parent, cache_dir=cache).counts) == ["S9", "S10", "S100"]

    def test_what_is_plainly_no_segment_is_ignored_and_told(self, directory: Path, cache: Path) -> None:
        (directory / "README.md").write_text("notes")
        (directory / ".hidden.txt").write_text("notes")
        (directory / "plots").mkdir()
        report = check_directory(directory, cache_dir=cache)
        assert report.problems == ()
        assert report.ignored == (".hidden.txt", "README.md", "plots")


class TestSubjectsUnderTwoNames:
    """S1 and S01 are one person, in whichever directory and whatever the cache holds."""

    @pytest.fixture
    def renamed(self, directory: Path) -> Path:
        """One segment of S1 is named S01; the cache's index holds the names of files, not subjects."""
        (directory / "S1-N-0.txt").rename(directory / "S01-N-0.txt")
        return directory

    @pytest.mark.parametrize("cached", [False, True])
    def test_they_are_one_subject(self, renamed: Path, cache: Path, cached: bool) -> None:
        if cached:
            load_dataset(renamed, cache_dir=cache)
        assert set(load_dataset(renamed, cache_dir=cache).subjects) == {"S0", "S1", "S2"}
        assert set(check_directory(renamed, cache_dir=cache).counts) == {"S0", "S1", "S2"}

    def test_they_are_on_one_side_of_every_split(self, renamed: Path, cache: Path) -> None:
        names = sorted(path.name for path in renamed.iterdir())
        theirs = {row for row, name in enumerate(names) if name.startswith(("S1-", "S01-"))}
        for seed in range(8):
            for split in grouped_folds(load_dataset(renamed, cache_dir=cache), folds=2, seed=seed):
                assert len(theirs & set(split.valid.rows.tolist())) in (0, len(theirs))

    def test_a_training_subject_copied_under_the_other_name_is_found(
        self, renamed: Path, cache: Path, tmp_path: Path
    ) -> None:
        test = tmp_path / "test"
        test.mkdir()
        shutil.copy(renamed / "S2-AFIB-0.txt", test / "S002-AFIB-0.txt")
        shutil.copy(renamed / "S2-N-0.txt", test / "S002-N-0.txt")
        train = load_dataset(renamed, cache_dir=cache)
        assert shared_subjects(train, load_dataset(test, cache_dir=cache)) == ["S2"]


@pytest.mark.skipif("ATML_IESD_DIR" not in os.environ, reason="ATML_IESD_DIR names no IESD set")
def test_iesd_set_is_sound_and_has_its_known_counts() -> None:
    report = check_directory(Path(os.environ["ATML_IESD_DIR"]))
    assert report.problems == ()
    assert report.segment_length == 1250
    totals: dict[str, int] = {}
    for of_subject in report.counts.values():
        for rhythm, count in of_subject.items():
            totals[rhythm] = totals.get(rhythm, 0) + count
    assert set(totals) <= {"AFIB", "N", "SBR", "", "AB", "T", "B", "SVTA"}
    if report.segments == 50_000:  # the whole set, not a part of it
        assert (totals["AFIB"], totals["N"], totals[""]) == (22_724, 25_178, 800)
