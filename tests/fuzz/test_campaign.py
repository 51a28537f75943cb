"""A short campaign, always of the same inputs; CONTRIBUTING.md has the command of the long one."""

import pytest

from tests.fuzz.campaign import ACCEPTED, DEFECTS, REFUSED, Result, _judged, prepared, run_one, table
from tests.fuzz.kinds import KINDS, SECRET, Case
from tests.fuzz.workplace import make_workplace

INPUTS_OF_A_KIND = 34


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    with prepared():
        make_workplace(folder)
        yield folder


@pytest.mark.parametrize("kind", KINDS)
def test_bad_input_is_refused_in_a_sentence_or_answered_rightly(good, kind):
    results = [run_one(kind, number, seed=0, good=good) for number in range(INPUTS_OF_A_KIND)]
    assert [one for one in results if one.outcome in DEFECTS] == []
    assert {REFUSED} <= {one.outcome for one in results} <= {REFUSED, ACCEPTED}


class TestJudgement:
    """The campaign sees each kind of defect."""

    @pytest.mark.parametrize(
        ("code", "shown", "said", "error", "outcome"),
        [
            (1, "", "Error: no study 'x'", "", REFUSED),
            (0, "ok", "", "", ACCEPTED),
            (1, "", "Error: KeyError\nThis is a defect of ATML 0.3.0.", "", "traceback"),
            (0, "", "", "Traceback …", "traceback"),
            (0, "", "", "hang: Traceback …", "hang"),
            (1, "", f"Error: postgresql://me:{SECRET}@host", "", "secret shown"),
            (1, "", "", "", "no sentence"),
            (-11, "", "", "", "no sentence"),
        ],
    )
    def test_of_a_command(self, tmp_path, code, shown, said, error, outcome):
        case = Case(arguments=["status"])
        assert _judged(case, tmp_path, code, shown, said, error)[0] == outcome

    def test_of_what_is_left_behind(self, tmp_path):
        (tmp_path / ".page.html.1234.tmp").touch()
        assert _judged(Case(arguments=["report"]), tmp_path, 0, "", "", "")[0] == "half-written"

    def test_of_an_answer(self, tmp_path):
        case = Case(arguments=["predict"], wrong=lambda shown: "wrong")
        assert _judged(case, tmp_path, 0, "0.5", "", "")[0] == "wrong answer"

    def test_the_table_counts_each(self):
        results = [
            Result(kind="spec", number=n, outcome=outcome, command=[])
            for n, outcome in enumerate([REFUSED, REFUSED, ACCEPTED, "hang"])
        ]
        (line,) = [line for line in table(results).splitlines() if line.startswith("spec")]
        assert line.split() == ["spec", "4", "2", "1", "0", "1", "0", "0", "0", "0", "0"]
