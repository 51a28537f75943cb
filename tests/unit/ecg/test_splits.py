import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atml.ecg import Dataset, grouped_folds, shared_subjects
from atml.errors import TooFewSubjects


def dataset_of(segments: dict[str, tuple[int, int]], source: str = "here") -> Dataset:
    """A dataset with (Normal, AFIB) segments of each subject; the sample is the row's number."""
    subjects, labels = [], []
    for subject, counts in segments.items():
        for label, count in enumerate(counts):
            subjects += [subject] * count
            labels += [label] * count
    rows = np.arange(len(labels))
    return Dataset(
        store=rows[:, None].astype(np.float32),
        rows=rows,
        labels=np.array(labels, dtype=np.int64),
        subjects=np.array(subjects, dtype=np.str_),
        rhythms=np.array(["AFIB" if label else "N" for label in labels], dtype=np.str_),
        source=source,
    )


counts = st.tuples(st.integers(0, 9), st.integers(0, 9)).filter(any)
populations = st.dictionaries(st.integers(0, 99).map("S{}".format), counts, min_size=1, max_size=12)


class TestGroupedFolds:
    @settings(deadline=None, max_examples=60)
    @given(segments=populations, folds=st.integers(2, 5), seed=st.integers(0, 2**31))
    def test_no_subject_is_on_both_sides_and_both_classes_are(
        self, segments: dict[str, tuple[int, int]], folds: int, seed: int
    ) -> None:
        dataset = dataset_of(segments)
        mixed = sum(normal > 0 < afib for normal, afib in segments.values())
        afib_only = sum(normal == 0 for normal, _ in segments.values())
        if mixed + min(afib_only, len(segments) - mixed - afib_only) < folds:
            with pytest.raises(TooFewSubjects):
                grouped_folds(dataset, folds=folds, seed=seed)
            return
        splits = grouped_folds(dataset, folds=folds, seed=seed)
        assert len(splits) == folds
        for split in splits:
            assert not set(split.train.subjects) & set(split.valid.subjects)
            assert len(split.train) + len(split.valid) == len(dataset)
            assert set(split.train.labels) == set(split.valid.labels) == {0, 1}
        validated = np.sort(np.concatenate([split.valid.rows for split in splits]))
        np.testing.assert_array_equal(validated, dataset.rows)

    @given(st.integers(0, 50))
    @settings(deadline=None, max_examples=10)
    def test_subjects_of_one_class_each_are_dealt_fairly(self, seed: int) -> None:
        segments = {f"S{n}": (5, 0) if n % 2 else (0, 5) for n in range(10)}
        for split in grouped_folds(dataset_of(segments), folds=5, seed=seed):
            assert len(set(split.valid.subjects)) == 2

    def test_same_seed_gives_the_same_folds_and_another_seed_others(self) -> None:
        dataset = dataset_of({f"S{n}": (n % 5, 3) for n in range(20)})

        def drawn(seed: int) -> list[list[int]]:
            return [split.valid.rows.tolist() for split in grouped_folds(dataset, seed=seed)]

        assert drawn(1) == drawn(1)
        assert drawn(1) != drawn(2)

    def test_another_seed_gives_other_folds_when_no_two_subjects_are_alike(self) -> None:
        dataset = dataset_of({f"S{n}": (20 + 7 * n, 90 - 5 * n) for n in range(16)})
        drawn = {
            tuple(
                sorted(
                    tuple(sorted(set(split.valid.subjects)))
                    for split in grouped_folds(dataset, folds=4, seed=seed)
                )
            )
            for seed in range(8)
        }
        assert len(drawn) == 8

    @given(st.integers(0, 2**31))
    @settings(deadline=None, max_examples=20)
    def test_folds_have_about_as_many_segments_of_each_class(self, seed: int) -> None:
        dataset = dataset_of({f"S{n}": (20 + 7 * n, 90 - 5 * n) for n in range(16)})
        for split in grouped_folds(dataset, folds=4, seed=seed):
            for label in (0, 1):
                share = (split.valid.labels == label).sum() / (dataset.labels == label).sum()
                assert 0.25 - 0.1 < share < 0.25 + 0.1

    def test_too_few_subjects_of_a_class_says_which_and_what_to_do(self) -> None:
        dataset = dataset_of({"S1": (5, 5), "S2": (5, 5), "S3": (5, 0)}, source="data/small")
        with pytest.raises(TooFewSubjects) as caught:
            grouped_folds(dataset, folds=3)
        message = str(caught.value)
        assert "3 folds of data/small need 3 subjects" in message
        assert "2 of its subjects have both, 1 Normal only and 0 AFIB only" in message
        assert "Use fewer folds or add subjects" in message

    def test_one_fold_is_no_split(self) -> None:
        with pytest.raises(TooFewSubjects, match="at least 2 but got 1"):
            grouped_folds(dataset_of({"S1": (5, 5), "S2": (5, 5)}), folds=1)


class TestSharedSubjects:
    def test_shared_subjects_are_named(self) -> None:
        train = dataset_of({"S1": (2, 2), "S66": (3, 1), "S9": (1, 1), "S10": (1, 0)})
        test = dataset_of({"S66": (1, 1), "S70": (1, 1), "S10": (1, 1), "S9": (1, 1)})
        assert shared_subjects(train, test) == ["S9", "S10", "S66"]

    def test_none_may_be_shared(self) -> None:
        assert shared_subjects(dataset_of({"S1": (2, 2)}), dataset_of({"S2": (1, 1)})) == []

    def test_sharing_everything_is_refused(self) -> None:
        train = dataset_of({"S1": (2, 2)}, source="data/train")
        with pytest.raises(TooFewSubjects, match="every subject of data/train is also in data/test"):
            shared_subjects(train, dataset_of({"S1": (1, 1)}, source="data/test"))
