import pytest

from atml.words import hide_credentials


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
