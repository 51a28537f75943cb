import pytest

from atml.errors import SpecError
from atml.search.suitability import left_out, suited

LENGTHS = {"linear": 1, "optimized_afnet": 33, "afnet": 98}  # the shortest segments that each takes


@pytest.fixture
def phase1(make_phase1):
    return lambda *names: make_phase1(search={"architectures": list(names)})


@pytest.mark.parametrize(
    ("length", "fitting"),
    [
        (98, ["linear", "optimized_afnet", "afnet"]),
        (97, ["linear", "optimized_afnet"]),
        (33, ["linear", "optimized_afnet"]),
        (32, ["linear"]),
    ],
)
def test_architectures_that_need_longer_segments_are_left_out_of_phase_1(phase1, length, fitting):
    phase = phase1(*LENGTHS)
    assert list(suited(phase, length).search.architectures) == fitting
    assert [*fitting, *left_out(phase, length)] == list(LENGTHS)
    assert suited(suited(phase, length), length) == suited(phase, length)


def test_a_phase_1_of_which_nothing_is_left_is_refused(phase1):
    with pytest.raises(SpecError) as caught:
        suited(phase1("optimized_afnet", "afnet"), 32)
    message = str(caught.value)
    assert "field `search.architectures`" in message
    assert "at least 33 samples" in message
    assert "have 32" in message


def test_a_phase_2_whose_architecture_needs_longer_segments_is_refused(make_phase2):
    phase = make_phase2(base={"architecture": "optimized_afnet"})
    assert suited(phase, 33) == phase
    with pytest.raises(
        SpecError, match=r"`base\.architecture`: optimized_afnet needs .* at least 33 samples"
    ):
        suited(phase, 32)


def test_a_phase_2_whose_base_is_not_known_yet_is_not_judged(make_phase2):
    phase = make_phase2(base={"architecture": None, "learning_rate": None, "study": "first"})
    assert suited(phase, 1) == phase
    assert left_out(phase, 1) == ()
