import re
from pathlib import Path

import pytest

import atml
from atml.words import LONGEST_ERROR, counted, error_in_words, hide_credentials, kilobytes, listed


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 trials"), (1, "1 trial"), (2, "2 trials"), (12345, "12,345 trials")]
)
def test_a_noun_agrees_with_its_count(count, text):
    assert counted(count, "trial") == text


def test_a_size_is_in_kilobytes():
    assert [kilobytes(count) for count in (None, 49, 12_345)] == ["–", "0.0 KB", "12.3 KB"]


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ((), ""),
        (("a", "b"), "a, b"),
        (("a", "b", "c", "d"), "a, b and 2 more"),
        (("\x1b[31m",), "'\\x1b[31m'"),
    ],
)
def test_of_many_names_the_first_are_listed(names, text):
    assert listed(names, 2) == text


def test_no_text_leaves_the_choice_between_singular_and_plural_to_the_reader():
    sources = [
        path
        for path in Path(atml.__file__).parent.rglob("*")
        if path.suffix in (".py", ".md", ".html", ".j2") and path.is_file()
    ]
    assert len(sources) > 100
    found = [str(path) for path in sources if re.search(r"[a-z]\((?:s|es)\)(?=[ .,:;\"'])", path.read_text())]
    assert found == []


def test_an_error_is_told_in_one_line_of_limited_length():
    assert error_in_words(ValueError("one\n  two\tthree")) == "ValueError: one two three"
    assert error_in_words(ZeroDivisionError()) == "ZeroDivisionError: no message"
    assert len(error_in_words(ValueError("x" * 10_000))) == len("ValueError: ") + LONGEST_ERROR


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://KEY:SECRET@bucket: no such", "s3://KEY:***@bucket: no such"),
        ("S3:/KEY:SE/CR@ET@bucket/x", "S3:/KEY:***@bucket/x"),
        ("see postgresql+psycopg://me:pass@word@host/db now", "see postgresql+psycopg://me:***@host/db now"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("s3://bucket/user@lab: mail me@host", "s3://bucket/user@lab: mail me@host"),
        ("train/S1-N-0.txt:3: expected a number", "train/S1-N-0.txt:3: expected a number"),
    ],
)
def test_what_follows_the_user_of_a_url_is_hidden(text, shown):
    assert hide_credentials(text) == shown
    assert hide_credentials(shown) == shown
