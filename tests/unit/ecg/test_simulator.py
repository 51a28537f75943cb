from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from atml.ecg import SAMPLING_RATE_HZ, check_directory, grouped_folds, load_dataset, simulate
from atml.ecg.sources.simulator import draw_subject
from atml.ecg.synthesis.heart import draw_heart
from atml.ecg.synthesis.rhythms import RHYTHMS, VENTRICULAR
from atml.errors import CannotWrite, DataError

SECONDS = 60.0


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def intervals(rhythm: str, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return np.diff(RHYTHMS[rhythm](rng, draw_heart(rng), SECONDS).times)


class TestFiles:
    def test_written_directory_is_sound_and_of_the_asked_size(self, tmp_path: Path, cache: Path) -> None:
        simulation = simulate(tmp_path / "a" / "b", subjects=5, segments_per_subject=8)
        report = check_directory(tmp_path / "a" / "b", cache_dir=cache)
        assert report.problems == ()
        assert report.ignored == ("README.md",)
        assert (report.segments, report.segment_length) == (40, 1250)
        assert simulation.segments == 40 == sum(simulation.rhythms.values())
        assert [sum(of_subject.values()) for of_subject in report.counts.values()] == [8] * 5

    def test_same_seed_gives_the_same_files_and_another_seed_others(self, tmp_path: Path) -> None:
        for name, seed in (("a", 1), ("b", 1), ("c", 2)):
            simulate(tmp_path / name, subjects=2, segments_per_subject=3, seed=seed)
        assert contents(tmp_path / "a") == contents(tmp_path / "b")
        assert contents(tmp_path / "a") != contents(tmp_path / "c")

    def test_subject_does_not_depend_on_how_many_there_are(self, tmp_path: Path) -> None:
        simulate(tmp_path / "many", subjects=3, segments_per_subject=3)
        simulate(tmp_path / "one", subjects=1, segments_per_subject=3, first_subject=2)
        one, many = contents(tmp_path / "one"), contents(tmp_path / "many")
        del one["README.md"]
        assert all(name.startswith("S2-") for name in one)
        assert all(many[name] == content for name, content in one.items())

    def test_directory_says_that_it_is_simulated(self, tmp_path: Path) -> None:
        simulate(tmp_path / "a", subjects=1, segments_per_subject=1)
        assert "Simulated" in (tmp_path / "a" / "README.md").read_text()

    def test_progress_reaches_the_total(self, tmp_path: Path) -> None:
        seen: list[tuple[int, int]] = []
        simulate(
            tmp_path / "a",
            subjects=2,
            segments_per_subject=3,
            progress=lambda done, total: seen.append((done, total)),
        )
        assert seen == [(3, 6), (6, 6)]

    def test_directory_with_something_in_it_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "thesis.txt").write_text("precious")
        with pytest.raises(DataError, match="mine exists and is not an empty directory"):
            simulate(tmp_path / "mine", subjects=1, segments_per_subject=1)
        assert contents(tmp_path / "mine") == {"thesis.txt": b"precious"}

    def test_empty_directory_is_filled(self, tmp_path: Path) -> None:
        (tmp_path / "new").mkdir()
        simulate(tmp_path / "new", subjects=1, segments_per_subject=1)
        assert len(contents(tmp_path / "new")) == 2

    def test_interrupted_simulation_leaves_nothing(self, tmp_path: Path) -> None:
        def interrupt(done: int, total: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            simulate(tmp_path / "a", subjects=2, segments_per_subject=1, progress=interrupt)
        assert list(tmp_path.iterdir()) == []

    def test_unwritable_place_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(CannotWrite, match="file/inside"):
            simulate(tmp_path / "file" / "inside", subjects=1, segments_per_subject=1)

    @pytest.mark.parametrize(
        ("name", "value"),
        [("subjects", 0), ("segments_per_subject", 0), ("segment_length", 1), ("seed", -1)],
    )
    def test_senseless_number_is_refused(self, tmp_path: Path, name: str, value: int) -> None:
        with pytest.raises(DataError, match=f"but got {value}"):
            simulate(tmp_path / "a", **{name: value})  # type: ignore[arg-type]


class TestPopulation:
    def test_some_fibrillate_always_some_never_most_now_and_then(self, tmp_path: Path, cache: Path) -> None:
        simulate(tmp_path / "a", subjects=8, segments_per_subject=20)
        dataset = load_dataset(tmp_path / "a", cache_dir=cache)
        shares = [
            float(dataset.labels[dataset.subjects == subject].mean())
            for subject in np.unique(dataset.subjects)
        ]
        assert shares.count(1.0) == 1
        assert shares.count(0.0) == 1
        assert sum(0.2 < share < 0.8 for share in shares) == 6
        assert len(grouped_folds(dataset, folds=5)) == 5

    def test_every_rhythm_of_the_real_set_is_there(self, tmp_path: Path) -> None:
        simulation = simulate(tmp_path / "a", subjects=8, segments_per_subject=50)
        assert set(simulation.rhythms) == {"N", "AFIB", "SBR", "", "AB", "T", "B", "SVTA"}

    def test_subjects_differ(self) -> None:
        hearts = [draw_heart(np.random.default_rng([0, number])) for number in range(20)]
        assert len({heart.narrow.amplitude.tobytes() for heart in hearts}) == 20


class TestSignal:
    @pytest.fixture
    def segments(self) -> NDArray[np.float64]:
        return np.concatenate([np.concatenate(list(draw_subject(n, 10, 1250, 0).values())) for n in range(8)])

    def test_mean_is_zero_and_amplitude_within_two(self, segments: NDArray[np.float64]) -> None:
        assert np.abs(segments.mean(axis=1)).max() < 1e-9
        assert np.abs(segments).max() < 2.0
        assert 1.7 < np.ptp(segments, axis=1).min() <= np.ptp(segments, axis=1).max() < 2.1

    def test_nothing_above_the_pass_band(self, segments: NDArray[np.float64]) -> None:
        power = (np.abs(np.fft.rfft(segments * np.hanning(1250), axis=1)) ** 2).mean(axis=0)
        frequency = np.fft.rfftfreq(1250, 1 / SAMPLING_RATE_HZ)
        assert power[frequency > 52].sum() < 1e-3 * power.sum()
        assert power[frequency < 0.4].sum() < 0.05 * power.sum()
        # The bulk lies where QRS and T waves are.
        assert power[(frequency > 1) & (frequency < 25)].sum() > 0.8 * power.sum()

    def test_other_lengths_are_possible(self) -> None:
        for samples in draw_subject(0, 3, 500, 0).values():
            assert samples.shape[1] == 500


class TestRhythms:
    @pytest.mark.parametrize("seed", range(10))
    def test_fibrillation_is_irregular(self, seed: int) -> None:
        rr = intervals("AFIB", seed)
        assert rr.std() / rr.mean() > 0.06
        assert abs(float(np.corrcoef(rr[:-1], rr[1:])[0, 1])) < 0.4  # no pattern in it

    @pytest.mark.parametrize("seed", range(10))
    def test_tachycardia_is_fast_and_regular(self, seed: int) -> None:
        rr = intervals("SVTA", seed)
        assert rr.mean() < 0.72
        assert rr.std() / rr.mean() < 0.02

    @pytest.mark.parametrize("seed", range(10))
    def test_bradycardia_is_slower_than_sixty_a_minute(self, seed: int) -> None:
        assert np.median(intervals("SBR", seed)) > 1.0

    @pytest.mark.parametrize("seed", range(10))
    def test_normal_rhythm_is_mostly_regular(self, seed: int) -> None:
        rr = intervals("N", seed)
        assert 0.4 < np.median(rr) < 1.05
        close = np.abs(rr - np.median(rr)) < 0.2 * np.median(rr)
        assert close.mean() > 0.85

    @pytest.mark.parametrize("rhythm", ["AB", "B"])
    @pytest.mark.parametrize("seed", range(5))
    def test_bigeminy_alternates_short_and_long(self, rhythm: str, seed: int) -> None:
        rr = intervals(rhythm, seed)
        even, odd = rr[2::2].mean(), rr[1::2].mean()
        assert max(even, odd) > 1.25 * min(even, odd)

    def test_trigeminy_has_a_wide_beat_in_every_three(self) -> None:
        rng = np.random.default_rng(0)
        kinds = RHYTHMS["T"](rng, draw_heart(rng), SECONDS).kinds
        wide = np.flatnonzero(kinds == VENTRICULAR)
        assert set(np.diff(wide)) == {3}

    @pytest.mark.parametrize("rhythm", RHYTHMS)
    @pytest.mark.parametrize("seed", range(5))
    def test_beats_cover_the_whole_segment(self, rhythm: str, seed: int) -> None:
        rng = np.random.default_rng(seed)
        beats = RHYTHMS[rhythm](rng, draw_heart(rng), 5.0)
        assert beats.times[0] < 0
        assert beats.times[-1] > 5.0
        assert np.diff(beats.times).min() >= 0.28 - 1e-9
        assert len(beats.times) == len(beats.kinds)
