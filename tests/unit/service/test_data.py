import pytest

from atml.errors import NoSegments, SpecError
from atml.service.data import load_training_data, subjects_in
from atml.tuning.phases import parse_spec
from atml.tuning.spec import DataSpec


def test_the_subjects_of_a_directory_are_in_order_each_once(tmp_path):
    for name in ("S10-N-0.txt", "S9-N-0.txt", "S09-AFIB-0.txt", "S009-N-1.txt", "notes.txt"):
        (tmp_path / name).write_text("")  # no segment is opened
    assert subjects_in(tmp_path) == ("S9", "S10")


def test_a_directory_without_segments_is_refused(tmp_path):
    with pytest.raises(NoSegments, match="no segment file"):
        subjects_in(tmp_path)


def test_a_subject_is_excluded_however_its_number_is_written(simulated):
    spec = DataSpec(train=str(simulated), exclude_subjects=("S003", "S5"))
    left = set(load_training_data(spec).subjects)
    assert left == {f"S{number}" for number in range(12)} - {"S3", "S5"}


@pytest.mark.parametrize("name", ["3", "s3", "S3-N-0.txt"])
def test_an_excluded_subject_that_can_not_exist_is_refused(name):
    document = {"phase": "architecture", "name": "x", "data": {"exclude_subjects": [name]}}
    with pytest.raises(SpecError, match=r"`data\.exclude_subjects\.0`: a subject's name must read S<number>"):
        parse_spec(document, source="spec")
