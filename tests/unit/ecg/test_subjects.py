"""Who a recording is of."""

import pytest

from atml.ecg.subjects import check_numbers, compiled, look_like_one_person, number, person
from atml.errors import DataError


def test_a_number_depends_on_the_name_alone():
    names = ["anna", "012", "bob", "data_12", "anna_1"]
    assert number("012") == "12"
    assert len({number(name) for name in names}) == 5
    assert number("anna") == "884452355"  # as in earlier imports


def test_a_number_stays_when_segments_are_imported_again():
    assert number(number("anna")) == number("anna")
    assert number("0") == "0"


def test_two_people_with_one_number_are_refused():
    check_numbers(["12", "anna", "12"])
    with pytest.raises(
        DataError, match=r"'012' and '12' would both be subject S12; rename one of them, or .*"
    ):
        check_numbers(["12", "anna", "012"])


def test_records_that_differ_only_in_a_number_at_the_end_look_like_one_person():
    assert look_like_one_person(["bob_1", "anna_1", "anna_2", "carl3", "carl4"]) == ("anna_1", "anna_2")
    assert look_like_one_person(["data_1_1", "data_1_2", "data_2_1"]) == ("data_1_1", "data_1_2")
    assert look_like_one_person(["anna/1", "anna/2", "bob/1"]) == ("anna/1", "anna/2")
    assert look_like_one_person(["04015", "04043", "anna_1", "bob_1"]) == ()


def test_a_name_is_the_same_however_its_letters_are_stored():
    composed, decomposed = "M\u00fcller", "Mu\u0308ller"
    assert person("r", composed, None) == person("r", decomposed, None)
    assert person(f"{decomposed}_1", None, compiled("(.+)_")) == composed
