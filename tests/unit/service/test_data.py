import pytest

from atml.errors import SpecError
from atml.service.data import load_training_data
from atml.tuning.phases import parse_spec
from atml.tuning.spec import DataSpec


def test_a_subject_is_excluded_however_its_number_is_written(simulated):
    spec = DataSpec(train=str(simulated), exclude_subjects=("S003", "S5"))
    left = set(load_training_data(spec).subjects)
    assert left == {f"S{number}" for number in range(12)} - {"S3", "S5"}


@pytest.mark.parametrize("name", ["3", "s3", "S3-N-0.txt"])
def test_an_excluded_subject_that_can_not_exist_is_refused(name):
    document = {"phase": "architecture", "name": "x", "data": {"exclude_subjects": [name]}}
    with pytest.raises(SpecError, match=r"`data\.exclude_subjects\.0`: a subject's name must read S<number>"):
        parse_spec(document, source="spec")
