import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from atml.ecg import AFIB_RHYTHM, CLASSES, SegmentName
from atml.ecg.segment import canonical_subject
from atml.errors import BadSegment

rhythms = st.from_regex(r"[A-Za-z0-9]{0,6}", fullmatch=True).filter(
    lambda rhythm: rhythm == AFIB_RHYTHM or rhythm.upper() != AFIB_RHYTHM
)
digits = st.integers(min_value=0, max_value=10**6).map(str)


class TestParse:
    @given(subject=digits, rhythm=rhythms, index=digits)
    @example(subject="47", rhythm="", index="0")
    @example(subject="007", rhythm="AFIB", index="00")
    def test_name_comes_apart_and_together_again(self, subject: str, rhythm: str, index: str) -> None:
        filename = f"S{subject}-{rhythm}-{index}.txt"
        name = SegmentName.parse(filename)
        assert (name.subject, name.rhythm, name.index) == (f"S{int(subject)}", rhythm, index)
        assert name.filename == filename

    @given(st.text(max_size=20))
    def test_any_text_is_parsed_exactly_or_refused(self, text: str) -> None:
        try:
            name = SegmentName.parse(text)
        except BadSegment:
            return
        assert name.filename == text

    @pytest.mark.parametrize(
        "filename",
        [
            "",
            "S1-N.txt",
            "S-N-0.txt",
            "s1-N-0.txt",
            "S1-N-0.csv",
            "S1-N-0.txt.gz",
            "S1-N-0.TXT",
            "S1-N-0.txt\n",
            "S1-N-0 (copy).txt",
            "S1-N-M-0.txt",
            "S٤-N-0.txt",
            " S1-N-0.txt",
        ],
    )
    def test_name_outside_the_grammar_is_refused_with_the_grammar(self, filename: str) -> None:
        with pytest.raises(BadSegment, match=r"S<subject>-<rhythm>-<index>\.txt.*rename"):
            SegmentName.parse(filename)

    @pytest.mark.parametrize("spelling", ["afib", "AFib", "Afib"])
    def test_another_spelling_of_afib_is_not_taken_for_normal(self, spelling: str) -> None:
        with pytest.raises(BadSegment, match=f"must be written AFIB but got {spelling}"):
            SegmentName.parse(f"S1-{spelling}-0.txt")


class TestSubject:
    @pytest.mark.parametrize(
        ("number", "subject"), [("4", "S4"), ("04", "S4"), ("0004", "S4"), ("40", "S40"), ("00", "S0")]
    )
    def test_leading_zeros_make_no_other_subject_but_another_file(self, number: str, subject: str) -> None:
        name = SegmentName.parse(f"S{number}-N-0.txt")
        assert name.subject == canonical_subject(f"S{number}") == subject
        assert name.filename == f"S{number}-N-0.txt"

    @pytest.mark.parametrize("name", ["4", "s4", "S", "S4-N", "S-4", "S٤", ""])
    def test_what_is_no_subject_is_refused(self, name: str) -> None:
        with pytest.raises(ValueError, match="must read S<number>"):
            canonical_subject(name)


class TestLabel:
    @pytest.mark.parametrize("rhythm", ["N", "SBR", "", "AB", "T", "B", "SVTA"])
    def test_every_rhythm_but_afib_is_normal(self, rhythm: str) -> None:
        label = SegmentName(number="1", rhythm=rhythm, index="0").label
        assert CLASSES[label] == "Normal"

    def test_afib_is_class_one(self) -> None:
        assert SegmentName(number="1", rhythm="AFIB", index="0").label == 1
        assert CLASSES[1] == "AFIB"
